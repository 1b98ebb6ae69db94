// The grid of a claim-status report, and the dialog in which it shows the card of a claim.

const byKey = new Map(cells.map((cell) => [cell.key, cell]));
const address = (key) => `#${encodeURIComponent(key).replaceAll("%2F", "/")}`;
const link = (key, ...children) => h("a", { href: address(key) }, ...children);

// The small strip of a mechanism's table: one dot per checkpoint.
function smallStrip(place, index) {
  const expect = inRegionUnits(claims[index]) ? claims[index].expect : null;
  const seen = ofClaim[index].filter((cell) => cell.estimate !== undefined);
  const published = typeof claims[index].published === "number" ? [claims[index].published] : [];
  if (!seen.length) return;
  const scale = axis([...seen.map((cell) => cell.estimate), ...published], expect);
  const order = ["untested", "inconclusive", "vacuous", "refuted", "no-control", "supported"];
  const drawn = [...seen].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
  place.append(
    s("svg", { "aria-hidden": "true" }, region(scale, expect),
      s("line", { class: "ground", x1: 0, x2: "100%", y1: "50%", y2: "50%" }),
      published.map((value) => diamond(scale.place(value))),
      drawn.map((cell) => s("circle", { class: `dot ${cell.verdict}`, cx: percent(scale.place(cell.estimate)), cy: "50%", r: 3.6 }))));
}

// --------------------------------------------------------------------------------------------------------------------
// Figures by plotly, which is unpacked and run when the first one is drawn

let loaded;
function plotly() {
  loaded ??= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    document.head.append(made(document.createElement("script"), {}, [await new Response(stream).text()]));
    return window.Plotly;
  })();
  return loaded;
}

async function plot(place, draw) {
  const library = await plotly();
  if (!place.isConnected) return;
  const { traces, layout } = draw();
  const named = traces.map((trace) => (trace.name === undefined ? trace : { ...trace, name: plain(trace.name) }));
  await library.react(place, named, framed(layout), { displayModeBar: false, responsive: true });
}

// plotly takes a few HTML tags in its labels for layout.
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function framed({ x, y, shapes = [], legend = false }) {
  const line = { gridcolor: colour("rule"), linecolor: colour("rule"), zeroline: false, ticks: "outside", tickcolor: colour("rule"), automargin: true };
  return {
    height: 260,
    margin: { l: 52, r: 12, t: 8, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("ink") },
    showlegend: legend,
    legend: { orientation: "h", y: 1.12, x: 0 },
    hovermode: "closest",
    hoverlabel: { bgcolor: colour("paper"), font: { color: colour("ink") } },
    xaxis: { ...line, showgrid: false, ...x, title: { text: x?.title ?? "" } },
    yaxis: { ...line, ...y, title: { text: y?.title ?? "" } },
    shapes,
  };
}

// --------------------------------------------------------------------------------------------------------------------
// The dialog

const dialog = document.getElementById("card");
let open = null;

function bars(cell) {
  const siblings = ofClaim[cell.claim];
  const at = siblings.indexOf(cell);
  const step = (title, sign, to) => (to ? h("a", { class: "button", href: address(to.key), "aria-label": title, title }, sign) : h("span", { class: "button off", "aria-hidden": "true" }, sign));
  return h("div", { class: "card-bar" },
    siblings.length > 1 && [step("Previous checkpoint", "←", siblings[at - 1]), h("span", { class: "quiet" }, `${at + 1} of ${siblings.length}`), step("Next checkpoint", "→", siblings[at + 1])],
    h("button", { type: "button", class: "close", "aria-label": "Close", click: () => dialog.close() }, "Close ✕"));
}

function show(cell) {
  const again = open !== null;
  const { parts, figures } = cardOf(cell);
  open = { cell, figures };
  dialog.replaceChildren(h("div", { class: "sheet" }, bars(cell), parts));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  if (!again) dialog.querySelector("#card-title").focus();
  else if (document.activeElement === document.body) dialog.querySelector("#card-title").focus();
  for (const one of figures) one.draw();
}

dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  const left = open.cell;
  open = null;
  dialog.replaceChildren();
  if (addressed() === left.key) history.replaceState(null, "", location.href.split("#")[0]);
  const elsewhere = document.getElementById(addressed());
  if (elsewhere) elsewhere.scrollIntoView();
  else inGrid.get(left.key)?.focus();
});
dialog.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || !open) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const siblings = ofClaim[open.cell.claim];
  const next = step && siblings[siblings.indexOf(open.cell) + step];
  if (next) location.hash = address(next.key);
});

function addressed() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function route() {
  const cell = byKey.get(addressed());
  if (cell) show(cell);
  else if (dialog.open) dialog.close();
}
addEventListener("hashchange", route);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => open?.figures.forEach((one) => one.draw()));

// --------------------------------------------------------------------------------------------------------------------
// The grid: filters, order, arrow keys

const form = document.getElementById("filters");
const inGrid = new Map([...document.querySelectorAll(".grid a.mark")].map((node) => [decodeURIComponent(node.hash.slice(1)), node]));
const tables = [...document.querySelectorAll("table.grid")].map((table) => ({
  table,
  body: table.tBodies[0],
  headings: [...table.querySelectorAll("tr.mechanism")],
  rows: [...table.querySelectorAll("tr[data-text]")].map((row) => ({
    row,
    data: row.dataset,
    marks: [...row.querySelectorAll("a.mark")].map((node) => [node, node.dataset.verdict]),
  })),
  order: [...table.tBodies[0].rows],
}));

function filter() {
  const asked = new FormData(form);
  const words = asked.get("text").toLowerCase().split(/\s+/).filter(Boolean);
  const verdicts = new Set(asked.getAll("verdict"));
  let [shown, all] = [0, 0];
  for (const { table, headings, rows } of tables) {
    const mechanisms = new Set();
    for (const { row, data: about, marks } of rows) {
      for (const [node, verdict] of marks) node.classList.toggle("faded", !verdicts.has(verdict));
      const fits =
        (!asked.get("system") || about.system === asked.get("system")) &&
        (!asked.get("mechanism") || about.mechanism === asked.get("mechanism")) &&
        (!asked.get("kind") || about.kind === asked.get("kind")) &&
        words.every((word) => about.text.includes(word)) &&
        marks.some(([, verdict]) => verdicts.has(verdict));
      row.hidden = !fits;
      all += 1;
      shown += fits;
      if (fits) mechanisms.add(about.mechanism);
    }
    for (const heading of headings) heading.hidden = Boolean(asked.get("sort")) || !mechanisms.has(heading.dataset.mechanism);
    table.closest("section.system").hidden = !mechanisms.size;
    rove(table);
  }
  form.querySelector("output").textContent = shown === all ? plural(all, "finding") : `${shown} of ${plural(all, "finding")}`;
}

const ORDERS = {
  most: (a, b) => b.data.share - a.data.share,
  least: (a, b) => a.data.share - b.data.share,
  name: (a, b) => a.data.name.localeCompare(b.data.name),
};
function sort() {
  const by = ORDERS[new FormData(form).get("sort")];
  for (const { table, body, rows, order } of tables) {
    table.classList.toggle("flat", Boolean(by));
    body.append(...(by ? [...rows].sort(by).map(({ row }) => row) : order));
  }
}

// One mark of a table is in the tab order, the arrow keys move to the others.
function rove(table, to) {
  const links = [...table.querySelectorAll("a.mark")];
  const current = to ?? links.find((node) => node.tabIndex === 0 && node.closest("tr").checkVisibility()) ?? links.find((node) => !node.closest("tr").hidden);
  for (const node of links) node.tabIndex = node === current ? 0 : -1;
}

function move(event) {
  const from = event.target.closest("a.mark");
  const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] }[event.key];
  if (!from || !way || event.altKey || event.ctrlKey || event.metaKey) return;
  const table = from.closest("table");
  const rows = [...table.tBodies[0].rows].filter((row) => row.dataset.text && !row.hidden);
  const [row, cell] = [from.closest("tr"), from.closest("td")];
  let to;
  if (way[0]) {
    const on = rows.slice(way[0] > 0 ? rows.indexOf(row) + 1 : 0, way[0] > 0 ? undefined : rows.indexOf(row));
    to = (way[0] > 0 ? on : on.reverse()).map((one) => one.cells[cell.cellIndex].querySelector("a")).find(Boolean);
  } else {
    const links = [...row.querySelectorAll("a.mark")];
    to = links[Math.min(Math.max(links.indexOf(from) + way[1], 0), links.length - 1)];
  }
  event.preventDefault();
  if (to) {
    rove(table, to);
    to.focus();
  }
}

form.addEventListener("input", () => (sort(), filter()));
form.addEventListener("reset", () => setTimeout(() => (sort(), filter())));
form.addEventListener("submit", (event) => event.preventDefault());
for (const { table } of tables) table.addEventListener("keydown", move);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || dialog.open || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  form.elements.text.focus();
});

form.hidden = false;
filter();
for (const place of document.querySelectorAll(".strip[data-claim]")) smallStrip(place, Number(place.dataset.claim));
route();
document.documentElement.dataset.ready = "true";
