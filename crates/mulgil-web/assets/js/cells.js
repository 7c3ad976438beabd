"use strict";
/* Grids of cells: one of them takes part in the order of tabs, arrows go on from there, a pointer reads their names. */
(() => {
  const linksIn = (element) => [...element.querySelectorAll("a.c")];

  // The cells as time goes: blocks stand newest first, and in one time goes along its rows or down its columns.
  const inTime = (group) => {
    const blocks = [...group.querySelectorAll("table.block")].reverse();
    if (!blocks.length) return linksIn(group);
    return blocks.flatMap((block) => {
      if (group.dataset.cells !== "down") return linksIn(block);
      const rows = [...block.tBodies[0].rows];
      const columns = Math.max(...rows.map((row) => row.cells.length));
      return Array.from({ length: columns }, (_, column) => rows.flatMap((row) => row.cells[column] ? linksIn(row.cells[column]) : [])).flat();
    });
  };

  const ready = (root) => {
    for (const group of root.querySelectorAll("[data-cells]")) {
      const all = inTime(group);
      for (const cell of all) cell.tabIndex = -1;
      if (all.length) all[all.length - 1].tabIndex = 0;
      // The newest stands at the end: what does not fit begins there. Once the page is laid out, not twice for it.
      const box = group.closest("[data-from-end]");
      if (box && !box.dataset.settled) {
        requestAnimationFrame(() => { box.scrollLeft = box.scrollWidth; });
        box.dataset.settled = "1";
      }
    }
  };

  // Across the way of time a step leads to the next cell of the same row, or column.
  const laneOf = (cell, goes) => {
    const block = cell.closest("table.block");
    if (!block) return null;
    const place = cell.closest("td");
    // A block that begins within a week lacks the rows at its top.
    return goes === "down" ? block.tBodies[0].rows.length - place.parentElement.sectionRowIndex : place.cellIndex;
  };
  const STEPS = { ArrowLeft: ["along", -1], ArrowRight: ["along", 1], ArrowUp: ["down", -1], ArrowDown: ["down", 1] };
  const stepFrom = (cell, all, goes, key) => {
    const [way, step] = STEPS[key];
    const lane = laneOf(cell, goes);
    for (let at = all.indexOf(cell) + step; all[at]; at += step) {
      if (way === goes || lane === null || laneOf(all[at], goes) === lane) return all[at];
    }
    return null;
  };

  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.("[data-cells] a.c");
    if (!cell || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const group = cell.closest("[data-cells]");
    const all = inTime(group);
    const inRow = () => cell.closest("table.block") ? linksIn(cell.closest("tr")) : all;
    const next = STEPS[event.key] ? stepFrom(cell, all, group.dataset.cells, event.key)
      : event.key === "Home" ? inRow()[0]
      : event.key === "End" ? inRow().at(-1)
      : null;
    if (!STEPS[event.key] && !next) return;
    event.preventDefault();
    if (!next) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  document.addEventListener("pointerover", (event) => {
    const cell = event.target.closest?.("[data-cells] a.c");
    if (cell) cell.title = cell.getAttribute("aria-label") || "";
  });
  document.addEventListener("mulgil:new", (event) => ready(event.target instanceof Element ? event.target : document));
  // The page is there first.
  addEventListener("load", () => ready(document));
})();
