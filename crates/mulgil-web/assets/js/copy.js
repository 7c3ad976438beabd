// Buttons that copy a text: their own, or that of an element. Over plain HTTP browsers have no clipboard for
// scripts but the old way.
"use strict";

{
  const SHOWN = 1_500;
  const oldWay = (text) => {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "unseen";
    document.body.append(field);
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    return isDone;
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { return oldWay(text); }
  };
  // A log's columns are no words of one text.
  const textOf = (element) => {
    const lines = [...element.querySelectorAll(".line")];
    const words = (line) => [...line.children].map((part) => part.textContent).join(" ");
    return lines.length ? lines.map(words).join("\n") : element.innerText;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy], [data-copy-of]");
    if (!button) return;
    const of = button.dataset.copyOf && document.getElementById(button.dataset.copyOf);
    const isDone = await copy(of ? textOf(of) : button.dataset.copy || "");
    if (!isDone || !button.dataset.copied || button.dataset.was) return;
    button.dataset.was = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = button.dataset.was; delete button.dataset.was; button.focus(); }, SHOWN);
  });
}
