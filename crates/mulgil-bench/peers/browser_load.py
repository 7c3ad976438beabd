"""When Chromium has a page.

browser_load.py ADDRESS LOADS PATH…      prints, by path, the medians of DOMContentLoaded and of the frame after the load, in
                                         which all of the page is drawn, in milliseconds
"""

import json
import os
import shutil
import statistics
import sys

from playwright.sync_api import sync_playwright

# The callback of the second frame runs when the first is drawn.
FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def chromium(playwright):
    program = os.environ.get("MULGIL_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    return playwright.chromium.launch(executable_path=program, args=FLAGS)


def main(address, loads, *paths):
    times = {path: [] for path in paths}
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page()
        # In rounds, so that what else the machine does meets all pages alike; the first round fetches the assets.
        for round_ in range(int(loads) + 1):
            for path in paths:
                page.goto(address + path, wait_until="load")
                ready = page.evaluate("() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
                drawn = page.evaluate(FRAME)
                if round_:
                    times[path].append((ready, drawn))
        browser.close()
    found = {path: [statistics.median(column) for column in zip(*rows)] for path, rows in times.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
