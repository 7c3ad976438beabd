"use strict";
/* What a script adds to every page: menus that close, this computer's zone. */
(() => {
  const zone = () => {
    const mine = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const line = document.querySelector("[data-own-zone]");
    if (!line || !mine) return;
    const known = [...line.parentElement.querySelectorAll(".muted")].some((name) => name.textContent === mine);
    if (known) return;
    const link = line.querySelector("a");
    link.href = line.dataset.ownZone.replace("zone=", "zone=" + encodeURIComponent(mine));
    link.querySelector(".muted").textContent = mine;
    line.hidden = false;
  };
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.pick[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    for (const menu of document.querySelectorAll("details.pick[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  // The page is there first.
  addEventListener("load", zone);
})();
