// Keys: `g` and a letter goes to a page, `/` to the search field, `?` shows the list. They rest while somebody
// types or composes, and can be switched off in the list.
"use strict";

{
  const OFF = "mulgil-keys-off", GOES = { t: "/", f: "/flows", r: "/runs", b: "/tables" }, PATIENCE = 1_500;
  const dialog = document.getElementById("keys");
  const isOff = () => { try { return localStorage.getItem(OFF) === "1"; } catch { return false; } };
  let going = 0;

  const isTyping = (event) =>
    event.isComposing || event.keyCode === 229 ||
    event.target.closest?.("input, textarea, select, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || isOff()) return;
    if (Date.now() - going < PATIENCE && GOES[event.key]) {
      location.href = GOES[event.key];
    } else if (event.key === "/") {
      const field = document.querySelector("[data-search], input[type=search]");
      if (!field) return;
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "?" && dialog && !dialog.open) {
      dialog.showModal();
    }
    going = event.key === "g" ? Date.now() : 0;
  });

  const box = dialog?.querySelector("[data-keys-on]");
  if (box) {
    box.checked = !isOff();
    box.addEventListener("change", () => {
      try { localStorage.setItem(OFF, box.checked ? "0" : "1"); } catch { /* Not allowed: it holds for this page. */ }
    });
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-keys-show]")) dialog?.showModal();
  });
}
