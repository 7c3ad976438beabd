"""Stays warm: forks itself for each task, one after the other."""

import gc
import json
import os
import signal
import socket
import sys
import traceback

from mulgil import _step  # noqa: F401  imported here, so that no task has to
import inspect  # noqa: F401
import importlib  # noqa: F401
import runpy  # noqa: F401


def serve():
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    # What is there now is never freed, so the forks share its memory.
    gc.collect()
    gc.freeze()
    while True:
        byte, files, _, _ = socket.recv_fds(channel, 1, 4)
        if not byte:
            return
        with os.fdopen(files.pop()) as text:
            request = json.load(text)
        _run(channel, files, request)


def _run(channel, files, request):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            channel.close()
            code = _task(files, request)
        except BaseException:
            traceback.print_exc()
        finally:
            _end(code)
    for file in files:
        os.close(file)
    _tell(channel, {"forked": pid})
    _, status, used = os.wait4(pid, 0)
    _tell(channel, {"ended": {
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "peak_bytes": used.ru_maxrss * 1024,
        "user_us": int(used.ru_utime * 1e6),
        "system_us": int(used.ru_stime * 1e6),
    }})


def _tell(channel, what):
    try:
        channel.sendall(json.dumps(what).encode() + b"\n")
    except BrokenPipeError:
        # The supervisor is gone; whoever finds the task ends it.
        sys.exit(1)


def _task(files, request):
    os.setpgid(0, 0)
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    # Those that there are were made for the worker's own files.
    encoding = sys.stdout.encoding
    sys.stdin = sys.__stdin__ = open(0, encoding=encoding, closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", encoding=encoding, closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", encoding=encoding, closefd=False)
    try:
        os.chdir(request["directory"])
    except OSError as error:
        print("the working directory cannot be entered: %s" % error, file=sys.stderr)
        return 1
    return _step.run(request["target"], request["args"])


def _end(code):
    """Ends as Python does, but for taking apart what the worker had before."""
    import atexit
    import threading

    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        code = code or 1
    os._exit(code)
