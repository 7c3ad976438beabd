"""What a Python step of Mulgil is told, and what it may say.

    import mulgil

    mulgil.interval.start           # datetime with the zone's offset; None without an interval
    mulgil.params["country"]
    mulgil.outputs["extract"]       # results of steps before
    mulgil.idempotency_id           # the same for every try of the same work

    mulgil.log("read 3 files")
    mulgil.progress(3, 10, "files")
    mulgil.rows(1200, "raw.orders")
    mulgil.metadata(source="ftp")
    mulgil.result({"rows": 1200})   # the output of the step: any JSON, at most 64 KiB

A step runs the same by hand: without Mulgil there are no parameters, and what is said goes to standard error.
"""

import datetime as _datetime
import json as _json
import os as _os
import sys as _sys

__all__ = [
    "attempt", "idempotency_id", "interval", "log", "metadata", "outputs", "params", "progress", "result", "rows",
    "run", "step",
]

_FIELDS = {"params", "outputs", "run", "step", "attempt", "idempotency_id", "interval"}
_input = None


class Interval:
    """A half-open piece of time, from `start` up to and without `end`."""

    __slots__ = ("start", "end")

    def __init__(self, start, end):
        self.start = start
        self.end = end

    def __repr__(self):
        return "Interval(%s, %s)" % (self.start.isoformat(), self.end.isoformat())

    def __eq__(self, other):
        return isinstance(other, Interval) and (self.start, self.end) == (other.start, other.end)

    def __hash__(self):
        return hash((self.start, self.end))


def log(message, level="info"):
    """Adds a line to the attempt's log."""
    _say({"type": "log", "message": str(message), "level": str(level)})


def result(value):
    """Sets the output of the step: any JSON, at most 64 KiB. The last one counts."""
    _say({"type": "result", "value": value})


def rows(count, table=None):
    """Tells how many rows were written, and where to."""
    _say({"type": "rows", "count": int(count), "table": table})


def metadata(**values):
    """Shows facts beside the attempt."""
    _say({"type": "metadata", "values": values})


def progress(done, total=None, message=None):
    """Tells how far the step is."""
    _say({"type": "progress", "done": done, "total": total, "message": message})


def _say(event):
    line = _json.dumps(event, default=_plain) + "\n"
    path = _os.environ.get("MULGIL_EVENTS")
    if path is None:
        _sys.stderr.write(line)
        return
    # Opened for each event, so that forks, threads and changed folders do not matter. One write: up to
    # 4 KiB it does not mix with others.
    pipe = _os.open(path, _os.O_WRONLY | _os.O_APPEND)
    try:
        data = line.encode()
        while data:
            data = data[_os.write(pipe, data):]
    finally:
        _os.close(pipe)


def _plain(value):
    """What JSON does not know: times as ISO 8601, numpy's and Decimal's numbers as numbers."""
    if isinstance(value, (_datetime.datetime, _datetime.date, _datetime.time)):
        return value.isoformat()
    if isinstance(value, Interval):
        return {"start": value.start, "end": value.end}
    for convert in ("item", "tolist"):
        if hasattr(value, convert):
            return getattr(value, convert)()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def _time(text):
    return _datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)


def _read():
    global _input
    if _input is None:
        text = "" if "MULGIL_RUN_ID" not in _os.environ else _sys.stdin.read()
        _input = _json.loads(text) if text.strip() else {}
    return _input


def __getattr__(name):
    # Read when first asked for, so that a program that reads its standard input itself still can.
    if name not in _FIELDS:
        raise AttributeError("module 'mulgil' has no attribute %r" % name)
    given = _read().get(name)
    if name == "interval":
        return None if given is None else Interval(_time(given["start"]), _time(given["end"]))
    if name in ("params", "outputs"):
        return given or {}
    return given
