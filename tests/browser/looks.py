"""How the views look: every one in each theme, size and language."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

THEMES = ["light", "dark"]
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
LANGUAGES = ["en", "ko"]

# Views of what is not there, which the browser itself reports.
NOWHERE = {"nowhere", "mistyped"}

# What axe calls these has to be mended; the rest is read by people.
SERIOUS = {"serious", "critical"}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def views(page: Page, address: str, demo) -> dict[str, str]:
    """The views with their addresses: those that follow from the demo's names, and links that are found."""
    found = {
        "today": "/",
        "flows": "/flows",
        "runs": "/runs",
        "tables": "/tables",
    }

    def first(start: str, selector: str) -> str:
        page.goto(address + start)
        link = page.locator(selector).first
        href = link.get_attribute("href")
        assert href, f"{start} has no link {selector}"
        return href

    # What is wrong in the demo has the most to show.
    found["table"] = "/tables/sales_daily"
    found["why"] = first("/tables/sales_daily", "a.c.miss[href^='/why/']")
    found["flow"] = first("/flows", "main a[href^='/flows/']")
    found["run"] = first(found["flow"], "main a[href^='/runs/']").split("/tasks/")[0]
    found["gantt"] = found["run"] + "?tab=gantt"
    found["list"] = found["run"] + "?tab=list"
    found["events"] = found["run"] + "?tab=events"
    found["attempt"] = first("/", "main a[href*='/attempts/']")
    found["backfill"] = "/tables/sales_daily/backfill"
    found["nowhere"] = "/tables/no_such_table"
    found["mistyped"] = "/no/such/page"
    return found


def look(browser: Browser, address: str, demo, theme: str, size: str, language: str, pictures: Path | None):
    """Looks at every view; gives what is wrong."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale="ko-KR" if language == "ko" else "en-US",
        is_mobile=size == "phone",
        has_touch=size == "phone",
        device_scale_factor=1,
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    faults = []
    for name, path in views(page, address, demo).items():
        said.clear()
        page.goto(address + path, wait_until="load")
        where = f"{name} ({theme}, {size}, {language})"
        html = page.locator("html")
        if html.get_attribute("lang") != language:
            faults.append(f"{where}: the page says that its language is {html.get_attribute('lang')}")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            faults.append(f"{where}: {wide} px wider than the window")
        for violation in Axe().run(page, options=RULES).response["violations"]:
            if violation["impact"] in SERIOUS:
                node = violation["nodes"][0]
                faults.append(f"{where}: {violation['id']}: {violation['help']}: {node['html'][:200]}")
        # The browser itself reports an address at which there is nothing.
        faults += [f"{where}: {text}" for text in said if "404" not in text or name not in NOWHERE]
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=pictures / f"{name}-{language}-{theme}-{size}.png", animations="disabled")
    context.close()
    return faults


def without_script(browser: Browser, address: str, demo) -> list[str]:
    """Every view can be read where no script runs."""
    context = browser.new_context(java_script_enabled=False, locale="en-US")
    page = context.new_page()
    faults = []
    for name, path in views(page, address, demo).items():
        page.goto(address + path)
        if not page.locator("main h1").first.inner_text().strip():
            faults.append(f"{name}: without a script it has no heading")
    page.goto(address + "/")
    page.locator("nav a[href='/tables']").first.click()
    page.locator("a[href='/tables/reads_daily']").first.click()
    if "reads_daily" not in page.locator("main h1").first.inner_text():
        faults.append("links do not lead to a table without a script")
    context.close()
    return faults


# Everything that can be worked on a page: each has to be reached by Tab, or, inside of a group that Tab enters
# once (the cells of a grid), by its arrows.
WORKABLE = """() => {
    const seen = (at) => at.checkVisibility({ checkVisibilityCSS: true }) && at.getClientRects().length > 0;
    const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
        .filter((at) => seen(at) && !at.disabled && at.type !== 'hidden' && at.id !== 'main');
    return all.map((at, index) => { at.dataset.walked = String(index); return at.tabIndex >= 0; });
}"""
FOCUSED = """() => {
    const at = document.activeElement;
    if (!at || at === document.body || at.dataset.walked === undefined) return null;
    const style = getComputedStyle(at);
    // A node of a drawing is framed instead.
    const frame = at.querySelector('.frame');
    const framed = frame !== null && parseFloat(getComputedStyle(frame).strokeWidth) >= 2;
    const ring = framed || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0);
    const box = at.getBoundingClientRect();
    return {
        index: Number(at.dataset.walked), what: at.outerHTML.slice(0, 160), ring: ring || style.boxShadow !== 'none',
        inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
}"""


def by_keyboard(browser: Browser, address: str, demo) -> list[str]:
    """Every view by keys alone: Tab reaches all that can be worked and leaves it again, the focus is always seen
    and on the screen, arrows go through a grid, and Enter follows."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    faults = []
    for name, path in views(page, address, demo).items():
        page.goto(address + path, wait_until="load")
        faults += [f"{name} by keyboard: {fault}" for fault in walk(page)]
    faults += arrows(page, address)
    for key, where in {"f": "/flows", "r": "/runs", "b": "/tables", "t": "/"}.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(address + where)
    context.close()
    return faults


def arrows(page: Page, address: str) -> list[str]:
    """In the picture of a table's days, which goes down from day to day and on in the next week."""
    page.goto(address + "/tables/reads_daily")
    days = sorted(page.eval_on_selector_all("main [data-cells] a.c", "all => all.map(at => at.getAttribute('href'))"))
    assert len(days) == 14, days
    reached = page.locator("main [data-cells] a.c[tabindex='0']")
    faults = [] if reached.get_attribute("href") == days[-1] else ["Tab does not enter at the newest day"]
    for start, key, end in [
        (3, "ArrowDown", 4),
        (6, "ArrowDown", 7),
        (0, "ArrowUp", 0),
        (9, "ArrowUp", 8),
        (3, "ArrowRight", 10),
        (10, "ArrowLeft", 3),
        (13, "ArrowRight", 13),
        (10, "Home", 3),
        (3, "End", 10),
    ]:
        page.locator(f"main [data-cells] a.c[href='{days[start]}']").focus()
        page.keyboard.press(key)
        found = page.evaluate("document.activeElement.getAttribute('href')")
        if found != days[end]:
            faults.append(f"{key} leads from {days[start]} to {found}, not to {days[end]}")
    page.keyboard.press("Enter")
    page.wait_for_url("**/why/**")
    return faults


def walk(page: Page) -> list[str]:
    """Goes through a page by Tab, once around."""
    in_order = page.evaluate(WORKABLE)
    reached: set[int] = set()
    first: int | None = None
    faults = []
    for _ in range(len(in_order) + 5):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        if at is None:
            if reached:
                break
            continue
        if at["index"] == first:
            break
        first = at["index"] if first is None else first
        if at["index"] in reached:
            faults.append(f"Tab goes back to {at['what']}")
            break
        reached.add(at["index"])
        if not at["ring"]:
            faults.append(f"the focus is not seen on {at['what']}")
        if not at["inside"]:
            faults.append(f"the focus is outside of the window, on {at['what']}")
    for index, is_in_order in enumerate(in_order):
        if is_in_order and index not in reached:
            what = page.locator(f"[data-walked='{index}']").first.evaluate("(at) => at.outerHTML.slice(0, 160)")
            faults.append(f"Tab never comes to {what}")
    return faults[:5]
