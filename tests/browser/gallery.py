"""The pages of the gallery: made-up values that are as large and as hostile as they may be. Names and logs full of
markup, text from right to left, names of 10,000 characters, 500 columns."""

import contextlib
import functools
import http.server
import subprocess
import tempfile
import threading
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from looks import RULES, SERIOUS, SIZES

# How pages are looked at, and whether axe looks too: all that differs by language and colours is looked at over the
# demo.
LOOKS = [("en-light", "desktop", True), ("ko-dark", "phone", False)]

# Axe takes a minute for a page of megabytes, which has the same parts as a smaller one, only more of them.
AXE_BYTES = 100_000


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path):
    """Serves files while the block lasts; gives their address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def look(browser: Browser, gallery: Path) -> list[str]:
    """Looks at every page of it; gives what is wrong."""
    faults = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        subprocess.run([gallery.resolve(), folder], check=True)
        address = stack.enter_context(serving(Path(folder)))
        for look_of, size, with_axe in LOOKS:
            pages = sorted(Path(folder, look_of).glob("*.html"))
            assert len(pages) > 20, f"the gallery has {len(pages)} pages"
            width, height = SIZES[size]
            context = browser.new_context(viewport={"width": width, "height": height}, is_mobile=size == "phone")
            page = context.new_page()
            said: list[str] = []
            page.on("dialog", lambda dialog: (said.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
            page.on("pageerror", lambda error: said.append(str(error)))
            for one in pages:
                said.clear()
                page.goto(f"{address}/{look_of}/{one.name}", wait_until="load")
                where = f"{one.stem} of the gallery ({look_of}, {size})"
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                if wide > 0:
                    faults.append(f"{where}: {wide} px wider than the window")
                if page.locator("main h1").count() != 1:
                    faults.append(f"{where}: {page.locator('main h1').count()} headings of the first order")
                if with_axe and one.stat().st_size <= AXE_BYTES:
                    for violation in Axe().run(page, options=RULES).response["violations"]:
                        if violation["impact"] in SERIOUS:
                            node = violation["nodes"][0]
                            faults.append(f"{where}: {violation['id']}: {violation['help']}: {node['html'][:200]}")
                faults += [f"{where}: {text}" for text in said]
            context.close()
    return faults
