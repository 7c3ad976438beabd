"""Runs the script or the function of a step."""

import inspect
import os
import sys
import traceback


def main(target, args):
    """Runs it and ends the process with its exit code."""
    sys.exit(run(target, args))


def run(target, args):
    """Runs it and gives the exit code."""
    import mulgil

    for stream in (sys.stdout, sys.stderr):
        # A log is read while it is written.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    mulgil._read()
    try:
        if _is_function(target):
            _call(target)
        else:
            _script(target, args)
    except SystemExit as ended:
        return _code_of(ended)
    except _Unusable as unusable:
        mulgil._say({"type": "error", "kind": "python_target", "message": str(unusable)})
        print(unusable, file=sys.stderr)
        return 1
    except BaseException as error:
        _tell(error)
        return 1
    return 0


class _Unusable(Exception):
    """The target is not there, or cannot be called with what there is."""


def _is_function(target):
    return ":" in target and not target.endswith(".py")


def _script(target, args):
    import runpy

    if not os.path.isfile(target):
        raise _Unusable("the script `%s` is not in %s" % (target, os.getcwd()))
    sys.argv = [target] + list(args)
    sys.path[0] = os.path.dirname(os.path.abspath(target))
    _keep_sdk()
    runpy.run_path(target, run_name="__main__")


def _call(target):
    import importlib
    import mulgil

    name, _, attribute = target.partition(":")
    sys.path[0] = os.getcwd()
    _keep_sdk()
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that the step's module imports is missing: that is a failure of the step.
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise _Unusable("there is no Python module `%s` in %s" % (name, os.getcwd())) from None
    function = module
    for part in attribute.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise _Unusable("the Python module `%s` has no function `%s`" % (name, attribute))
    value = function(**_arguments(function, target))
    if inspect.iscoroutine(value):
        import asyncio

        value = asyncio.run(value)
    if value is not None:
        mulgil.result(value)


def _arguments(function, target):
    """The parameters by name: those that the function takes, all where it takes `**` of them."""
    import mulgil

    given = dict(mulgil.params)
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.POSITIONAL_ONLY for parameter in parameters):
        raise _Unusable("`%s` has parameters without names" % target)
    named = [parameter for parameter in parameters if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)]
    if any(parameter.name == "interval" for parameter in named):
        given.setdefault("interval", mulgil.interval)
    missing = [parameter.name for parameter in named if parameter.default is parameter.empty and parameter.name not in given]
    if missing:
        raise _Unusable("`%s` needs the parameter `%s`, which the step does not give" % (target, "`, `".join(missing)))
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return given
    return {parameter.name: given[parameter.name] for parameter in named if parameter.name in given}


def _keep_sdk():
    """The SDK can be imported after the step's own modules."""
    sdk = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sdk not in sys.path[1:]:
        sys.path.append(sdk)


def _code_of(ended):
    if ended.code is None:
        return 0
    if isinstance(ended.code, int):
        return ended.code & 0xFF
    print(ended.code, file=sys.stderr)
    return 1


def _tell(error):
    """Prints where it failed, without our own frames, and names the failure."""
    import mulgil

    own = os.path.dirname(os.path.abspath(__file__))
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename, own):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames or error.__traceback__)
    last = traceback.extract_tb(frames or error.__traceback__)[-1:]
    place = ["%s:%d" % (os.path.relpath(frame.filename), frame.lineno) for frame in last]
    text = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()
    message = (text[-1:] or [type(error).__name__])[0][:500]
    mulgil._say({"type": "error", "kind": "exception", "message": message, "place": place[0] if place else None})


def _is_ours(path, own):
    return path.startswith(own) or path.startswith("<frozen") or os.path.basename(path) == "runpy.py"
