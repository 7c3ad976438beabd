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
    found = {}
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page()
        for path in paths:
            times, drawn = [], []
            for load in range(int(loads) + 1):
                page.goto(address + path, wait_until="load")
                timing = page.evaluate(
                    "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
                )
                frame = page.evaluate(FRAME)
                # The first one fetches the assets.
                if load:
                    times.append(timing)
                    drawn.append(frame)
            found[path] = [statistics.median(times), statistics.median(drawn)]
        browser.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
