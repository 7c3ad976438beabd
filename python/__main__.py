"""Runs one Python step, or stays warm and forks itself for each. Not for people: Mulgil starts it."""

import sys

if sys.version_info < (3, 9):
    import json
    import os

    text = "Python %d.%d at %s is too old: Mulgil needs 3.9 or newer" % (sys.version_info[0], sys.version_info[1], sys.executable)
    path = os.environ.get("MULGIL_EVENTS")
    if path:
        with open(path, "a") as pipe:
            pipe.write(json.dumps({"type": "error", "kind": "python", "message": text}) + "\n")
    sys.exit(text)

if sys.argv[1:] == ["--worker"]:
    from mulgil import _worker

    _worker.serve()
else:
    from mulgil import _step

    _step.main(sys.argv[1], sys.argv[2:])
