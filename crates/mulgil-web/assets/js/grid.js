// The grid of a flow's runs: a tooltip for each cell from what its row and column say, all of a cell leads on and
// not its shape alone, and arrows move between cells.
"use strict";

{
  const cellOf = (target) => target instanceof Element && target.closest("[data-grid] td");
  const gridOf = (cell) => cell.closest("[data-grid]");
  const placeOf = (cell) => cell.cellIndex - 1;
  const headOf = (cell) => gridOf(cell).tHead.rows[0].cells[cell.cellIndex];

  const words = (cell) => [
    cell.parentElement.cells[0].textContent.trim(),
    headOf(cell).dataset.name,
    cell.textContent.trim(),
    (cell.parentElement.dataset.took || "").split("|")[placeOf(cell)],
  ].filter(Boolean).join(" · ");

  let tip = null;
  const hide = () => { tip?.remove(); tip = null; };
  const show = (cell) => {
    hide();
    if (!cell.textContent) return;
    const text = words(cell);
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
    // Above, where there is always room: below the last row it would make the box scroll.
    tip.style.top = `${box.top - base.top + scrolled.scrollTop - tip.offsetHeight - 4}px`;
    cell.querySelector("a")?.setAttribute("aria-label", text);
  };

  const isReachable = (cell) => cell?.tagName === "TD" && cell.querySelector("a");
  const settle = () => {
    for (const grid of document.querySelectorAll("[data-grid]")) {
      const links = [...grid.querySelectorAll("td a")];
      // The newest stands at the end: what does not fit begins there. Once the page is laid out, not twice for it.
      const box = grid.closest("[data-from-end]");
      if (box && !box.dataset.settled) {
        requestAnimationFrame(() => { box.scrollLeft = box.scrollWidth; });
        box.dataset.settled = "1";
      }
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
      show(cell);
    });
  }
  document.addEventListener("click", (event) => {
    const cell = cellOf(event.target);
    if (cell && !event.target.closest("a")) cell.querySelector("a")?.click();
  });
  document.addEventListener("mulgil:new", settle);
  // The page is there first.
  addEventListener("load", settle);
}
