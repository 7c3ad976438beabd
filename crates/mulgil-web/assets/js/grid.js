// The grid of a flow's runs. Its cells lead to their runs by themselves; here each gets the address of its
// attempt and a tooltip, from what its row and column say, and arrows move between cells.
"use strict";

{
  const cellOf = (target) => target instanceof Element && target.closest("[data-grid] td");
  const gridOf = (cell) => cell.closest("[data-grid]");
  const placeOf = (cell) => cell.cellIndex - 1;
  const headOf = (cell) => gridOf(cell).tHead.rows[0].cells[cell.cellIndex];

  // A row says of its cells `TASK.ATTEMPT^TOOK`, an address where a cell leads elsewhere, `|` between them.
  const told = (cell) => {
    const [place, took = ""] = ((cell.parentElement.dataset.c || "").split("|")[placeOf(cell)] || "").split("^");
    return { place, took, attempts: Number(place.split(".")[1] || 0) };
  };

  const address = (cell) => {
    const link = cell.querySelector("a");
    if (!link || link.dataset.set) return link;
    const { place } = told(cell), run = headOf(cell).dataset.run;
    if (place.startsWith("/")) link.href = place;
    else if (place && run) link.href = `/runs/${run}/tasks/${place.replace(".", "/attempts/")}`;
    link.dataset.set = "1";
    return link;
  };

  const words = (cell) => {
    const { attempts, took } = told(cell), grid = gridOf(cell);
    const state = cell.textContent.trim();
    return [
      cell.parentElement.cells[0].textContent.trim(),
      headOf(cell).dataset.name || "",
      state,
      attempts > 1 ? (grid.dataset.tries || "").replace("#", attempts) : "",
      took,
    ].filter(Boolean).join(" · ");
  };

  let tip = null;
  const hide = () => { tip?.remove(); tip = null; };
  const show = (cell) => {
    hide();
    const text = words(cell);
    if (!cell.className && !cell.textContent) return;
    tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("aria-hidden", "true");
    tip.textContent = text;
    gridOf(cell).parentElement.append(tip);
    const box = cell.getBoundingClientRect(), base = tip.offsetParent.getBoundingClientRect();
    const scrolled = tip.offsetParent;
    const left = box.left - base.left + scrolled.scrollLeft + box.width / 2 - tip.offsetWidth / 2;
    const room = scrolled.scrollLeft + scrolled.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(scrolled.scrollLeft, Math.min(left, room))}px`;
    tip.style.top = `${box.bottom - base.top + scrolled.scrollTop + 4}px`;
    cell.querySelector("a")?.setAttribute("aria-label", text);
  };

  const isReachable = (cell) => cell?.tagName === "TD" && cell.querySelector("a");
  const settle = () => {
    for (const grid of document.querySelectorAll("[data-grid]")) {
      const links = [...grid.querySelectorAll("td a")];
      // The newest stands at the end: what does not fit begins there.
      const box = grid.closest("[data-from-end]");
      if (box && !box.dataset.settled) {
        box.scrollLeft = box.scrollWidth;
        box.dataset.settled = "1";
      }
      for (const link of links) delete link.dataset.set;
      if (!links.some((link) => link.tabIndex === 0 && link.hasAttribute("tabindex"))) {
        for (const link of links) link.tabIndex = -1;
        if (links.length) links.at(-1).tabIndex = 0;
      } else {
        for (const link of links) if (!link.hasAttribute("tabindex")) link.tabIndex = -1;
      }
    }
  };

  const go = (from, rows, columns, isFar) => {
    const body = gridOf(from).tBodies[0];
    let row = from.parentElement.sectionRowIndex, column = from.cellIndex, found = null;
    for (;;) {
      row += rows;
      column += columns;
      const cell = column > 0 && body.rows[row]?.cells[column];
      if (!cell) break;
      if (isReachable(cell)) {
        found = cell;
        if (!isFar) break;
      }
    }
    if (!found) return;
    from.querySelector("a").tabIndex = -1;
    const link = found.querySelector("a");
    link.tabIndex = 0;
    link.focus();
  };

  const MOVES = {
    ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -1, true], End: [0, 1, true],
  };
  document.addEventListener("keydown", (event) => {
    const cell = cellOf(event.target), move = MOVES[event.key];
    if (!cell || !move || event.altKey || event.metaKey || event.isComposing) return;
    event.preventDefault();
    const [rows, columns, isFar] = move;
    go(cell, rows, columns, isFar || event.ctrlKey);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  for (const name of ["pointerover", "focusin"]) {
    document.addEventListener(name, (event) => {
      const cell = cellOf(event.target);
      if (!cell) return hide();
      address(cell);
      show(cell);
    });
  }
  document.addEventListener("pointerdown", (event) => { const cell = cellOf(event.target); if (cell) address(cell); });
  // All of a cell leads on, not its shape alone.
  document.addEventListener("click", (event) => {
    const cell = cellOf(event.target), link = cell && !event.target.closest("a") && address(cell);
    if (link) link.click();
  });
  document.addEventListener("mulgil:new", settle);
  settle();
}
