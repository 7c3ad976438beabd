"""When Chromium has a page.

browser_load.py ADDRESS LOADS PATH…      prints the median of DOMContentLoaded in milliseconds by path
"""

import json
import os
import shutil
import statistics
import sys

from playwright.sync_api import sync_playwright

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
            times = []
            for load in range(int(loads) + 1):
                page.goto(address + path, wait_until="load")
                timing = page.evaluate(
                    "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
                )
                # The first one fetches the assets.
                if load:
                    times.append(timing)
            found[path] = statistics.median(times)
        browser.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
