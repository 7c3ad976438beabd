// A log that is read while it is written: what comes is added at the end, what came earlier on demand. The
// page stays at the end only if its reader was there, and never holds more lines than it can show well.
"use strict";

{
  const SOON = 1_000, LATE = 5_000, LINES = 5_000, WRAP = "mulgil-wrap";
  const log = document.querySelector("[data-log]");

  const start = () => {
    let next = Number(log.dataset.next), hasEnded = log.dataset.ended === "1", wait = SOON, timer = 0, isBusy = false;
    const scroller = () => (log.scrollHeight > log.clientHeight + 1 ? log : document.scrollingElement);
    const isAtEnd = () => { const box = scroller(); return box.scrollHeight - box.scrollTop - box.clientHeight < 40; };

    const lines = async (query) => {
      const answer = await fetch(`${log.dataset.href}?${query}`, { headers: { accept: "text/html" }, cache: "no-store" });
      if (answer.status !== 200) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      return { answer, lines: [...page.body.children].map((line) => document.importNode(line, true)) };
    };

    const tail = async () => {
      clearTimeout(timer);
      if (hasEnded || isBusy || document.hidden) return;
      const follows = isAtEnd();
      // Who reads further up waits for no more lines than the page may hold.
      if (log.children.length >= LINES && !follows) return again(LATE);
      isBusy = true;
      try {
        const { answer, lines: fresh } = await lines(`from=${next}`);
        next = Number(answer.headers.get("mulgil-log-next") ?? next);
        hasEnded = answer.headers.get("mulgil-log-ended") === "1" && fresh.length === 0;
        add(fresh, follows);
        wait = fresh.length ? SOON : Math.min(wait * 1.5, LATE);
      } catch { wait = LATE; }
      isBusy = false;
      if (hasEnded) log.dispatchEvent(new Event("mulgil:ended"));
      again(wait);
    };
    const again = (after) => { clearTimeout(timer); timer = setTimeout(tail, after); };

    const add = (fresh, follows) => {
      if (!fresh.length) return;
      document.querySelector("[data-log-empty]")?.remove();
      log.append(...fresh);
      if (!follows) return;
      while (log.children.length > LINES) log.firstElementChild.remove();
      const box = scroller();
      box.scrollTop = box.scrollHeight;
    };

    document.addEventListener("click", async (event) => {
      const link = event.target.closest("[data-earlier]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      try {
        const before = new URL(link.href).searchParams.get("before");
        const { answer, lines: earlier } = await lines(`before=${before}`);
        const box = scroller(), height = box.scrollHeight, top = box.scrollTop;
        log.prepend(...earlier);
        box.scrollTop = top + box.scrollHeight - height;
        const from = answer.headers.get("mulgil-log-from");
        if (!Number(from) || !earlier.length) link.remove();
        else link.href = `?before=${from}#log-part`;
      } catch { location.href = link.href; }
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) tail(); });
    document.addEventListener("mulgil:told", () => { if (!timer || wait > SOON) again(100); });
    if (log.dataset.tail === "1") {
      // Once the page is laid out, not twice for it.
      const end = () => { const box = scroller(); if (box === log) box.scrollTop = box.scrollHeight; };
      if (!location.hash && document.hidden) end();
      else if (!location.hash) requestAnimationFrame(end);
      again(SOON);
    }
  };

  const wrap = (button, isOn) => {
    log.classList.toggle("wrapped", isOn);
    button.setAttribute("aria-pressed", String(isOn));
  };

  if (log) {
    const button = document.querySelector("[data-wrap]");
    if (button) {
      let isOn = false;
      try { isOn = localStorage.getItem(WRAP) === "1"; } catch { /* Not allowed: it is asked each time. */ }
      wrap(button, isOn);
      button.addEventListener("click", () => {
        isOn = !isOn;
        wrap(button, isOn);
        try { localStorage.setItem(WRAP, isOn ? "1" : "0"); } catch { /* As above. */ }
      });
    }
    start();
  }
}
