"""The demo's seven steps, as a person with a browser and an editor does them."""

import json
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

# How long a page may take to tell what has happened, in milliseconds.
SOON = 30_000

# What the pages show where something is wrong: each is seen before it is mended, and gone after.
TROUBLE, HOLES, FAILED = "main .trouble", "main a.c.miss", "main .c.fail"


def edit(demo, path: str, old: str, new: str) -> None:
    """Saves a change."""
    file = demo.folder / path
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def load(demo, path: str, old: str, new: str) -> None:
    """Saves a change, and waits until the pages know of it."""
    loaded = demo.loaded()
    edit(demo, path, old, new)
    began = time.monotonic()
    while demo.loaded() == loaded:
        assert time.monotonic() - began < SOON / 1000, "what was saved is not loaded"
        time.sleep(0.1)


def follow(browser: Browser, address: str, demo, pictures: Path | None) -> list[str]:
    """Does all seven; whatever is not as it was told ends it and is the fault."""
    page = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(SOON)
    try:
        do(page, address, demo)
    except Exception as error:
        if pictures:
            page.screenshot(path=pictures / "stopped.png")
        return [f"the seven steps stopped at {page.url}: {error}"]
    finally:
        page.context.close()
    return []


def left(page: Page) -> list[str]:
    """A page whose server has ended says so, and no longer that all is good."""
    try:
        expect(page.locator("#stream")).to_be_visible(timeout=SOON)
        expect(page.locator("#health")).not_to_be_visible()
    except AssertionError as error:
        return [f"a page does not tell that its server has ended: {error}"]
    finally:
        page.context.close()
    return []


def do(page: Page, address: str, demo) -> None:
    main = page.locator("main")

    # 1. Find the holes.
    page.goto(address + "/")
    expect(main).to_contain_text("sales_daily")
    assert page.locator(TROUBLE).count() > 0, "the first page tells of no trouble"
    page.locator("main a[href^='/tables/sales_daily']").first.click()
    expect(page.locator("main h1")).to_contain_text("sales_daily")
    expect(page.locator(HOLES)).to_have_count(2)

    # 2. Ask why.
    page.locator(HOLES).first.click()
    expect(main).to_contain_text("never filled")
    expect(main).to_contain_text("mulgil run sales_daily@")

    # 3. Fill them: what is going to be done is shown first, and is what is done.
    page.goto(address + "/tables/sales_daily/backfill?only=missing")
    expect(main).to_contain_text("2 intervals")
    page.locator("main form[method=post] button").first.click()
    page.wait_for_url("**/tables/sales_daily")
    # The page tells by itself what came of it, all of it.
    expect(page.locator(HOLES)).to_have_count(0)
    expect(main).to_contain_text("14 files")

    # 4. Read the failing model's error, in the run that failed.
    page.goto(address + "/tables/ranking")
    assert page.locator(FAILED).count() > 0, "the table does not show that its model failed"
    page.goto(address + "/runs?state=failed")
    page.locator("main a[href^='/runs/']").first.click()
    page.locator("main a[href*='/attempts/']").first.click()
    expect(main).to_contain_text("amount")
    expect(main).to_contain_text("models/ranking.sql")

    # 5. Mend it.
    edit(demo, "models/ranking.sql", "sum(amount)", "sum(won)")
    demo.mulgil("run", "ranking")
    page.goto(address + "/tables/ranking")
    expect(main).to_contain_text("filled")
    expect(page.locator(FAILED)).to_have_count(0)

    # 6. Set the late schedule right, which the first page tells.
    page.goto(address + "/")
    page.locator("#late a[href='/flows/ranking']").first.click()
    expect(main).to_contain_text("UTC")
    expect(main).to_contain_text("07:30 (Asia/Seoul)")
    load(demo, "flows/ranking.yml", "timezone: UTC", "timezone: Asia/Seoul")
    page.goto(address + "/flows/ranking")
    expect(main).to_contain_text("Asia/Seoul")

    # 7. Ask the tables.
    asked = demo.mulgil("query", "select count(*) as stories from ranking where won > 0", "-o", "json")
    assert json.loads(asked) == [{"stories": 8}], asked

    # All is well now.
    page.goto(address + "/")
    expect(page.locator(TROUBLE)).to_have_count(0)
    assert demo.json("plan")["steps"] == [], "something is due still"
