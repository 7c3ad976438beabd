"""What the drivers of orchestrators share: a server that is started and ended with all that it started, and
figures that are told as they are found.

Each figure is a line of JSON: {"figure": NAME, "value": NUMBER}; what is to be said besides, {"note": TEXT}.
"""

import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request

IDLE_SECONDS = 30

# The crons: so many minute marks are looked at, and what belongs to the last has so long to begin.
MARKS = 2
AFTER_LAST_MARK = 45


def tell(figure, value):
    print(json.dumps({"figure": figure, "value": value}), flush=True)


def note(text):
    print(json.dumps({"note": text}), flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url, body=None, method=None, token=None, timeout=30):
    """The JSON that a server answers; None where it is not reached or refuses."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def until(what, look, seconds, pause=0.02):
    """Waits until `look` gives something; faults of the way there count as nothing."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            found = look()
            if found:
                return found
        except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError) as error:
            last = error
        time.sleep(pause)
    raise TimeoutError(f"not in {seconds} s: {what} ({last})")


def tree(pid):
    """A process and all that stand below it."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rsplit(") ", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, open_ends = [], [pid]
    while open_ends:
        one = open_ends.pop()
        found.append(one)
        open_ends.extend(children.get(one, []))
    return found


def memory_mib(pids, name, file):
    """The sum of a line of /proc in MiB: `VmRSS` of `status`, `Pss` of `smaps_rollup`."""
    total = 0
    for pid in pids:
        try:
            lines = pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return total / 1024


class Server:
    """A server with all that it starts; `with` ends it, whatever happens."""

    def __init__(self, words, environment, folder):
        self.log = pathlib.Path(folder) / "server.log"
        self.began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                words, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pids = tree(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            pass
        # What did not end with it, also what left its group.
        for pid in set(pids) | set(tree(self.process.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(15)

    def healthy(self, look, seconds):
        """Waits until it is, and tells how long that took from its start."""
        try:
            found = until("the server is healthy", look, seconds)
        except TimeoutError as error:
            raise RuntimeError(f"{error}: {self.last_words()}") from error
        return found, time.monotonic() - self.began

    def last_words(self):
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])

    def tell_idle(self):
        time.sleep(IDLE_SECONDS)
        pids = tree(self.process.pid)
        tell("idle.rss", memory_mib(pids, "VmRSS", "status"))
        tell("idle.pss", memory_mib(pids, "Pss", "smaps_rollup"))
        tell("idle.processes", len(pids))


def wait_for_marks():
    """Sleeps over the next minute marks; gives them in seconds since 1970."""
    first = (int(time.time()) // 60 + 1) * 60
    # What is to be made ready for the first mark has some seconds.
    if first - time.time() < 20:
        first += 60
    marks = [first + 60 * index for index in range(MARKS)]
    time.sleep(marks[-1] + AFTER_LAST_MARK - time.time())
    return marks


def tell_crons(names, marks, starts):
    """`starts` are (name, due, start) in seconds; tells how late they began, and which did not."""
    wanted = {(name, mark) for name in names for mark in marks}
    seen = [(name, round(due)) for name, due, _ in starts if round(due) in marks]
    late = sorted((start - due) * 1000 for _, due, start in starts if round(due) in marks)
    tell("cron.count", len(names))
    tell("cron.missing", len(wanted - set(seen)))
    tell("cron.twice", len(seen) - len(set(seen)))
    if late:
        for percent in (50, 95, 99):
            tell(f"cron.p{percent}", late[min(len(late) - 1, len(late) * percent // 100)])
        tell("cron.max", late[-1])


def end_with_parent():
    """Whoever started this holds the other end of its input: where that is gone, all is ended."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return

    def wait():
        os.read(0, 1)
        for pid in tree(os.getpid())[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def perform(parts, wanted):
    """Does the parts that are wanted; what fails is told, and the others go on."""
    for name, part in parts.items():
        if name in wanted:
            try:
                part()
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                note(f"{name} failed: {type(error).__name__}: {str(error)[:300]}")
