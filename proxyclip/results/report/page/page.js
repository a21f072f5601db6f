"use strict";
// Tooltips that the keyboard reaches too, tables sorted by a click, matrices to point at. The page is whole without.
window.addEventListener("error", (event) => { document.documentElement.dataset.error = event.message; });

const tip = document.getElementById("tip");

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18}px`;
}

function hideTip() { tip.hidden = true; }

function tipOf(element) {
  const owner = element.closest?.("[title],[data-tip]");
  if (!owner) return null;
  if (owner.title) { owner.dataset.tip = owner.title; owner.removeAttribute("title"); }
  return owner;
}

document.addEventListener("pointerover", (event) => {
  const owner = tipOf(event.target);
  if (owner) showTip(owner.dataset.tip, event.clientX, event.clientY);
  else if (!event.target.closest?.(".heat,.scatter")) hideTip();
});
document.addEventListener("focusin", (event) => {
  const owner = tipOf(event.target);
  if (owner && event.target.matches(":focus-visible")) {
    const box = owner.getBoundingClientRect();
    showTip(owner.dataset.tip, box.left, box.bottom - 10);
  } else hideTip();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
document.addEventListener("scroll", hideTip, true);

// Sorting: numbers by data-v or text, what has no number always last.
function keyOf(cell) {
  const text = cell.dataset.v ?? cell.textContent.trim();
  return text === "" ? null : Number.isNaN(Number(text)) ? text.toLowerCase() : Number(text);
}

function sortBy(table, column, head) {
  const now = head.getAttribute("aria-sort"), down = now ? now === "ascending" : head.classList.contains("n");
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[column]), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1;
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if ("fixed" in head.dataset) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column, head));
    head.append(button);
  });
}

// Matrices: arrow keys walk through the cells of a table; a picture tells the cell under the pointer or the cursor.
const grouped = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u00a0");

for (const table of document.querySelectorAll("table.matrix")) {
  let row = 0, column = 0;
  table.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const last = table.tBodies[0].rows.length - 1;
    row = Math.max(0, Math.min(last, row + step[0]));
    column = Math.max(0, Math.min(last, column + step[1]));
    const cell = table.tBodies[0].rows[row].cells[column + 1];
    table.querySelector(".here")?.classList.remove("here");
    cell.classList.add("here");
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    const owner = tipOf(cell), box = cell.getBoundingClientRect();
    if (owner) showTip(owner.dataset.tip, box.right - 14, box.bottom - 10); else hideTip();
  });
}

for (const figure of document.querySelectorAll(".heat")) {
  const [svg, image, cursor] = ["svg", "image", ".cursor"].map((name) => figure.querySelector(name));
  const { names, totals, entries } = JSON.parse(figure.querySelector("script").textContent);
  const side = image.width.baseVal.value / names.length;
  let row = 0, column = 0;
  const pixels = () => {
    if (!totals[row]) return "no pixel has this label";
    const at = entries[row].findIndex((one, i) => i % 2 === 0 && one === column);
    if (at < 0) return "less than 0.05 %";
    return `${(100 * entries[row][at + 1] / totals[row]).toFixed(1)} % (${grouped(entries[row][at + 1])} pixels)`;
  };
  const tell = () => {
    const box = image.getBoundingClientRect(), step = box.width / names.length;
    cursor.setAttribute("x", column * side);
    cursor.setAttribute("y", row * side);
    cursor.setAttribute("visibility", "visible");
    const said = `truth ${names[row]}, predicted ${names[column]}: ${pixels()}`;
    showTip(said, box.left + (column + 1) * step, box.top + (row + 1) * step);
  };
  const place = (x) => Math.max(0, Math.min(names.length - 1, x));
  svg.addEventListener("pointermove", (event) => {
    const box = image.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * names.length);
    const y = Math.floor((event.clientY - box.top) / box.height * names.length);
    if (x !== place(x) || y !== place(y)) return hideTip();
    [row, column] = [y, x];
    tell();
  });
  svg.addEventListener("pointerleave", () => { hideTip(); cursor.setAttribute("visibility", "hidden"); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    [row, column] = [place(row + step[0]), place(column + step[1])];
    tell();
  });
}

// A link to a run opens it.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target?.matches("details.run")) return;
  target.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();
const setAll = (open) => document.querySelectorAll("details.run").forEach((run) => { run.open = open; });
document.getElementById("open-all").addEventListener("click", () => setAll(true));
document.getElementById("close-all").addEventListener("click", () => setAll(false));
addEventListener("DOMContentLoaded", () => { document.documentElement.dataset.ready = "yes"; });
