"use strict";
/* Grids of cells: one of them takes part in the order of tabs, arrows go on from there. */
(() => {
  const cells = (grid) => [...grid.querySelectorAll("a.c")];
  const ready = (root) => {
    for (const grid of root.querySelectorAll("[data-cells]")) {
      const all = cells(grid);
      for (const cell of all) cell.tabIndex = -1;
      if (all.length) all[all.length - 1].tabIndex = 0;
      // The newest stands at the end: what does not fit begins there. Once the page is laid out, not twice for it.
      const box = grid.closest("[data-from-end]");
      if (box && !box.dataset.settled) {
        requestAnimationFrame(() => { box.scrollLeft = box.scrollWidth; });
        box.dataset.settled = "1";
      }
    }
  };
  const place = (cell) => {
    const box = cell.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  // The nearest cell in a direction; what stands to the side counts three times.
  const nearest = (all, from, dx, dy) => {
    const [x, y] = place(from);
    let best = null, least = Infinity;
    for (const cell of all) {
      const [cx, cy] = place(cell);
      const along = (cx - x) * dx + (cy - y) * dy;
      const aside = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
      if (along < 2) continue;
      const far = along + 3 * aside;
      if (far < least) { least = far; best = cell; }
    }
    return best;
  };
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.("[data-cells] a.c");
    if (!cell || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const all = cells(cell.closest("[data-cells]"));
    const way = WAYS[event.key];
    const next = way ? nearest(all, cell, ...way)
      : event.key === "Home" ? all[0]
      : event.key === "End" ? all[all.length - 1]
      : null;
    if (!next) return;
    event.preventDefault();
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  document.addEventListener("mulgil:new", (event) => ready(event.target instanceof Element ? event.target : document));
  // The page is there first.
  addEventListener("load", () => ready(document));
})();
