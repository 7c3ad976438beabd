"""The demo in a folder of its own, and its server."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

PATIENCE = 60


class Demo:
    """The demo project as `mulgil demo` makes it."""

    def __init__(self, program: Path, folder: Path, until: str) -> None:
        self.program = program.resolve()
        self.folder = folder / "demo"
        self.until = until
        self.environment = {**os.environ, "NO_COLOR": "1"}
        subprocess.run(
            [self.program, "demo", str(self.folder), "--until", until, "--no-serve"],
            check=True,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def mulgil(self, *words: str, allowed: tuple[int, ...] = (0,)) -> str:
        """Types a command in the demo's folder and gives what it printed."""
        done = subprocess.run(
            [self.program, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in allowed:
            raise AssertionError(f"mulgil {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *words: str) -> object:
        return json.loads(self.mulgil(*words, "--json"))

    def loaded(self) -> int:
        """How often the server has loaded the project anew."""
        return (self.folder / "server.log").read_text(encoding="utf-8").count("served as it is now")

    @contextlib.contextmanager
    def serving(self):
        """Serves the pages while the block lasts; gives their address."""
        log = open(self.folder / "server.log", "w+", encoding="utf-8")
        process = subprocess.Popen(
            [self.program, "dev", "--port", "0"], cwd=self.folder, env=self.environment, stdout=log, stderr=log
        )
        try:
            yield self._address(process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError("the server did not end when it was told to")

    def _address(self, process: subprocess.Popen) -> str:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and process.poll() is None:
            said = (self.folder / "server.log").read_text(encoding="utf-8")
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            if found:
                return found.group()
            time.sleep(0.05)
        raise AssertionError("the server did not say where it is:\n" + (self.folder / "server.log").read_text())
