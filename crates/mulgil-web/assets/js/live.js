// Keeps a page as the ledger has it. When the server tells that something changed of which the page speaks
// (data-topics), the page is fetched again and each [data-live] region takes over what differs. What its
// reader is doing (focus, scrolling, selected text, opened details, typing) is left as it is.
"use strict";

{
  const THROTTLE = 1_000, MOVING = 10_000;
  const stream = document.currentScript.dataset.stream;
  const topics = () => new Set((document.body.dataset.topics || "").split(" ").filter(Boolean));
  let etag = "", last = 0, timer = 0, isBusy = false, isAsked = false, isComposing = false;

  document.documentElement.classList.add("script");

  // What a reader changed by hand stays.
  const kept = (element, name) =>
    name === "tabindex" || name === "data-settled" || (name === "open" && element.localName === "details") || name === "aria-pressed";

  const takeAttributes = (here, there) => {
    for (const { name } of [...here.attributes]) {
      if (!there.hasAttribute(name) && !kept(here, name)) here.removeAttribute(name);
    }
    for (const { name, value } of there.attributes) {
      if (here.getAttribute(name) !== value && !kept(here, name)) here.setAttribute(name, value);
    }
  };

  const fits = (here, there) =>
    here.nodeType === there.nodeType && here.nodeName === there.nodeName && (here.id || "") === (there.id || "");

  const take = (here, there) => {
    if (here.isEqualNode(there)) return;
    if (here.nodeType !== Node.ELEMENT_NODE) {
      here.data = there.data;
      return;
    }
    takeAttributes(here, there);
    // A log grows by itself.
    if (here.hasAttribute("data-log")) return;
    const named = new Map([...here.children].filter((child) => child.id).map((child) => [child.id, child]));
    let next = here.firstChild;
    for (const wanted of [...there.childNodes]) {
      const same = wanted.id && named.get(wanted.id);
      if (same && same !== next && fits(same, wanted)) here.insertBefore(same, next);
      const found = same && fits(same, wanted) ? same : next && fits(next, wanted) ? next : null;
      if (found) {
        if (found === next) next = next.nextSibling;
        take(found, wanted);
      } else {
        here.insertBefore(document.importNode(wanted, true), next);
      }
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
  };

  const isTypedIn = (region) => {
    const active = document.activeElement;
    return isComposing || (region.contains(active) && active.matches("input:not([type=checkbox]), textarea, select"));
  };
  const isSelected = (region) => {
    const selection = getSelection();
    return selection && !selection.isCollapsed && selection.containsNode(region, true);
  };

  const say = (text) => {
    const said = document.getElementById("said");
    if (said && text) said.textContent = text;
  };

  const takePage = (page) => {
    let isLeft = false;
    for (const region of document.querySelectorAll("[data-live][id]")) {
      const fresh = page.getElementById(region.id);
      if (!fresh || region.isEqualNode(fresh)) continue;
      if (isTypedIn(region) || isSelected(region)) {
        isLeft = true;
        continue;
      }
      const before = region.dataset.say;
      take(region, fresh);
      region.dispatchEvent(new Event("mulgil:new", { bubbles: true }));
      if (region.dataset.say !== before) say(region.dataset.say);
    }
    const [was, is] = [document, page].map((of) => of.getElementById("as-of"));
    if (was && is) take(was, document.importNode(is, true));
    document.title = page.title;
    if (page.body.dataset.topics) document.body.dataset.topics = page.body.dataset.topics;
    return !isLeft;
  };

  const look = async () => {
    if (document.hidden || isBusy) {
      isAsked = true;
      return;
    }
    [isBusy, isAsked, last] = [true, false, Date.now()];
    try {
      const headers = { accept: "text/html", "mulgil-live": "1", ...(etag && { "if-none-match": etag }) };
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      if (answer.status === 200 && !answer.redirected) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        etag = takePage(page) ? answer.headers.get("etag") || "" : "";
        // A region in which somebody was busy gets its turn later.
        if (!etag) isAsked = true;
      }
    } catch { /* The stream tells that the server is away. */ }
    isBusy = false;
  };

  const ask = () => {
    clearTimeout(timer);
    timer = setTimeout(look, Math.max(0, last + THROTTLE - Date.now()));
  };
  // Which state the page was made of.
  const own = () => Number(document.getElementById("as-of")?.dataset.serial);
  const hear = ({ topics: told, lost, serial, isNew }) => {
    if (lost !== undefined) {
      const place = document.getElementById("stream");
      if (place) {
        place.hidden = !lost;
        place.textContent = lost ? place.dataset.lost || "" : "";
      }
    }
    // What changed between the making of the page and here was told to nobody.
    if (!told && serial !== undefined && isNew !== false && serial !== own()) told = ["*"];
    const mine = topics();
    if (told?.some((topic) => topic === "*" || mine.has(topic))) {
      document.dispatchEvent(new Event("mulgil:told"));
      ask();
    }
  };

  const connect = () => {
    const alone = () => {
      const script = document.createElement("script");
      script.src = stream;
      script.onload = () => {
        const held = self.mulgilStream(hear);
        const set = () => (document.hidden ? held.close() : held.open());
        document.addEventListener("visibilitychange", set);
        addEventListener("pagehide", held.close);
        addEventListener("pageshow", set);
        set();
      };
      document.head.append(script);
    };
    let worker;
    try { worker = new SharedWorker(stream); } catch { return alone(); }
    worker.onerror = (event) => { event.preventDefault(); worker.port.close(); alone(); };
    worker.port.onmessage = ({ data }) => hear(data);
    const set = () => worker.port.postMessage(document.hidden ? "hidden" : "seen");
    document.addEventListener("visibilitychange", set);
    addEventListener("pagehide", () => worker.port.postMessage("hidden"));
    addEventListener("pageshow", set);
  };

  document.addEventListener("compositionstart", () => { isComposing = true; }, true);
  document.addEventListener("compositionend", () => { isComposing = false; if (isAsked) ask(); }, true);
  document.addEventListener("focusout", () => { if (isAsked) ask(); });
  document.addEventListener("selectionchange", () => { if (isAsked && getSelection().isCollapsed) ask(); });
  // What happened while nobody looked was not told.
  document.addEventListener("visibilitychange", () => { if (!document.hidden && topics().size) ask(); });
  addEventListener("pageshow", (event) => { if (event.persisted && topics().size) ask(); });
  setInterval(() => { if (!document.hidden && document.querySelector("[data-moving]")) ask(); }, MOVING);
  if (stream && topics().size) connect();
}
