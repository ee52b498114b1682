"use strict";
// Hides the rows that were not asked for. One pass over all of them, whatever was asked; violations stay.
const form = document.querySelector("form"), words = form.querySelector("[type=search]"), told = form.querySelector("output");
const sections = Array.from(document.querySelectorAll("main > section"), section => ({
  section,
  rows: Array.from(section.children, row => ({ row, kind: row.dataset.kind, nodes: (row.dataset.nodes || "").split(" "), text: null })),
}));
const chosen = name => new Set(Array.from(form.querySelectorAll(`[name=${name}]:checked`), box => box.value));

function apply() {
  const kinds = chosen("kind"), nodes = chosen("node"), text = words.value.trim().toLowerCase();
  let shown = 0, all = 0;
  for (const { section, rows } of sections) {
    let here = 0;
    for (const it of rows) {
      const wanted = it.kind === undefined || kinds.has(it.kind) && it.nodes.some(node => nodes.has(node))
        && (text === "" || (it.text ??= it.row.textContent.toLowerCase()).includes(text));
      if (it.row.hidden === wanted) it.row.hidden = !wanted;
      if (wanted) here += 1;
    }
    section.hidden = here === 0;
    section.style.setProperty("--rows", here);
    shown += here;
    all += rows.length;
  }
  told.value = `${shown} of ${all} rows`;
}

let waiting;
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("change", apply);
words.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(apply, 150);
});
// What a link leads to is shown, whatever was asked for.
document.addEventListener("click", event => {
  const link = event.target.closest("a[href^='#']");
  const row = link && document.getElementById(link.hash.slice(1));
  if (row) row.hidden = row.parentElement.hidden = false;
});
apply();
