"""Drives a real browser through the pages of the demo.

Each view is looked at in light and dark, on a desktop and a phone, in Korean and English: axe finds nothing
serious, nothing is wider than the window, the browser's console and its policy have nothing to complain about.
Every view is worked by keys alone. The gallery's pages, which are as large and as hostile as they may be, are
looked at too where `--gallery` names the program that makes them.
Then the demo's seven steps are done as a person would do them. `--pictures FOLDER` also writes a picture of
each view.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import gallery
import looks
import server
import steps

UNTIL = "2026-11-20"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--program", required=True, type=Path)
    words.add_argument("--chromium", required=True)
    words.add_argument("--gallery", type=Path)
    words.add_argument("--pictures", type=Path)
    words.add_argument("--only", choices=["looks", "steps", "gallery"])
    asked = words.parse_args()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium, args=FLAGS)
        is_asked = lambda part: asked.only in (None, part)
        if is_asked("looks") or is_asked("steps"):
            demo = server.Demo(asked.program, Path(folder), UNTIL)
            with demo.serving() as address:
                if is_asked("looks"):
                    for theme, size, language in itertools.product(looks.THEMES, looks.SIZES, looks.LANGUAGES):
                        faults += looks.look(browser, address, demo, theme, size, language, asked.pictures)
                    faults += looks.without_script(browser, address, demo)
                    faults += looks.by_keyboard(browser, address, demo)
                if is_asked("steps"):
                    faults += steps.follow(browser, address, demo, asked.pictures)
                open_page = browser.new_page()
                open_page.goto(address + "/")
            faults += steps.left(open_page)
        if asked.gallery and is_asked("gallery"):
            faults += gallery.look(browser, asked.gallery)
        browser.close()
    for fault in faults:
        print(f"FAILED {fault}", file=sys.stderr)
    print(f"pages: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
