// The card of a claim, in a claim-status report and by itself. Whatever comes from the results is set as text or as an
// attribute, never as HTML. The page's own script says how a figure is drawn, in `plot`, and where a link leads, in `link`.

const data = JSON.parse(document.getElementById("data").textContent);
const { symbols, labels, claims, cells, checkpoints } = data;
const ofClaim = claims.map(() => []);
const aboutClaim = claims.map(() => []);
for (const cell of cells) {
  ofClaim[cell.claim].push(cell);
  if (cell.about !== undefined) aboutClaim[cell.about].push(cell);
}
for (const some of ofClaim) some.sort((a, b) => a.on - b.on);

// --------------------------------------------------------------------------------------------------------------------
// Elements and numbers

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}
const h = (tag, attributes, ...children) => made(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) =>
  made(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function number(value, digits = 3) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-4) {
    const [front, power] = value.toExponential(digits - 1).split("e");
    return `${signed(String(Number(front)))} × 10${raised(Number(power))}`;
  }
  const rounded = size >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits));
  return signed(size >= 1000 ? rounded.toLocaleString("en") : String(rounded));
}
const signed = (text) => text.replace("-", "−");
const raised = (power) => String(power).replace(/[-0-9]/g, (digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]);
const plural = (many, word) => `${many.toLocaleString("en")} ${word}${many === 1 ? "" : "s"}`;
const duration = (seconds) =>
  seconds < 1 ? `${Math.max(1, Math.round(1000 * seconds))} ms` : seconds < 120 ? `${number(seconds)} s` : `${number(seconds / 60)} min`;

const claimOf = (cell) => claims[cell.claim];
const nameOf = (claim) => claim.id.split("/")[2];
const paramsOf = (claim) => Object.values(claim.params).join(", ");
for (const finding of cells.flatMap((cell) => cell.findings ?? [])) {
  finding.judged = finding.judged.map((one) => ({ ...checkpoints[one.checkpoint], ...one }));
}
const columnOf = (cell) => checkpoints[cell.on];
const badge = (verdict) => h("span", { class: `badge ${verdict}` }, h("span", { "aria-hidden": "true" }, symbols[verdict]), ` ${labels[verdict]}`);
const mark = (verdict) => h("span", { class: `mark ${verdict}`, role: "img", "aria-label": labels[verdict] }, symbols[verdict]);

// --------------------------------------------------------------------------------------------------------------------
// Strips: estimates and intervals against the region, on one axis

const lowerEnd = (expect) => expect.at_least ?? expect.above ?? -Infinity;
const upperEnd = (expect) => expect.at_most ?? expect.below ?? Infinity;
const inRegionUnits = (claim) => claim.expect.kind !== "permutation"; // its region is one of p-values

function axis(values, expect) {
  const ends = expect ? [lowerEnd(expect), upperEnd(expect)].filter(Number.isFinite) : [];
  const all = [...values, ...ends].filter(Number.isFinite);
  if (!all.length) all.push(0, 1);
  let [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
  const log = low > 0 && high / low > 500;
  const [there, back] = log ? [Math.log10, (x) => 10 ** x] : [(x) => x, (x) => x];
  [low, high] = [there(low), there(high)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = [low - room, high + room];
  const place = (x) => (100 * (Math.min(Math.max(there(x), low), high) - low)) / (high - low);
  return { place, log, ticks: (log ? powers(low, high) : ticks(low, high)).map((tick) => [tick, place(tick)]), end: [back(low), back(high)] };
}

function ticks(low, high) {
  const raw = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((times) => times * unit >= raw);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
function powers(low, high) {
  const step = Math.max(1, Math.ceil((high - low) / 6));
  const first = Math.ceil(low);
  return Array.from({ length: Math.max(0, Math.floor((high - first) / step) + 1) }, (_, i) => 10 ** (first + i * step));
}

const percent = (x) => `${x.toFixed(2)}%`;

function region(scale, expect) {
  if (!expect) return [];
  const [low, high] = [lowerEnd(expect), upperEnd(expect)];
  const [left, right] = [Number.isFinite(low) ? scale.place(low) : 0, Number.isFinite(high) ? scale.place(high) : 100];
  const edges = [low, high].filter(Number.isFinite).map(scale.place);
  return [
    s("rect", { class: "region", x: percent(left), width: percent(right - left), y: 0, height: "100%" }),
    edges.map((edge) => s("line", { class: "edge", x1: percent(edge), x2: percent(edge), y1: 0, y2: "100%" })),
  ];
}

function whisker(scale, one) {
  const parts = [];
  if (one.interval) {
    const [low, high] = one.interval.map(scale.place);
    parts.push(s("line", { class: `whisker ${one.verdict}`, x1: percent(low), x2: percent(high), y1: "50%", y2: "50%" }));
  }
  parts.push(s("circle", { class: `dot ${one.verdict}`, cx: percent(scale.place(one.estimate)), cy: "50%", r: 4.5 }));
  return parts;
}

const valuesOf = (one) => [one.estimate, ...(one.interval ?? [])];

// Rows of a figure that share an axis: a label, a drawing against the region, and a value in words.
function strips(rows, scale, expect) {
  const line = (row) =>
    h("div", { class: `strip-row ${row.class ?? ""}`, role: "listitem" },
      h("span", { class: "label" }, row.label),
      s("svg", { "aria-hidden": "true" }, region(scale, expect), row.drawn),
      h("span", { class: "value" }, row.value));
  const labels = s("svg", { class: "axis", "aria-hidden": "true" },
    scale.ticks.map(([tick, at]) => [
      s("line", { x1: percent(at), x2: percent(at), y1: 0, y2: 4 }),
      s("text", { x: percent(at), y: 16, "text-anchor": at < 4 ? "start" : at > 96 ? "end" : "middle" }, number(tick)),
    ]));
  return h("div", { class: "strips", role: "list" }, rows.map(line),
    h("div", { class: "strip-row", role: "presentation" }, h("span"), labels, h("span")));
}

function estimateText(one) {
  if (one.estimate === undefined || one.estimate === null) return "–";
  return number(one.estimate) + (one.interval ? ` [${one.interval.map((end) => number(end)).join(", ")}]` : "");
}

const diamond = (at) => s("svg", { x: percent(at), y: "50%", overflow: "visible" }, s("path", { class: "published", d: "M0-6 5 0 0 6-5 0z" }));

// --------------------------------------------------------------------------------------------------------------------
// Why: the verdict in words

function because(cell) {
  const claim = claimOf(cell);
  const where = claim.expect.region;
  const alpha = claim.expect.alpha ?? data.alpha;
  const said = [];
  if (cell.estimate === undefined) return [cell.reason ? sentence(cell.reason) : "Nothing was observed."];
  const inside = { supported: "lies in", "no-control": "lies in", vacuous: "lies in", refuted: "lies outside", inconclusive: "still crosses the edge of" }[cell.verdict];
  if (cell.p_value !== undefined) {
    said.push(`Against permutations of the columns the statistic ${number(cell.estimate)} has p = ${number(cell.p_value)}, which ${inside} the claimed region, ${where}.`);
  } else if (cell.interval) {
    said.push(`After ${plural(cell.units, "unit")} the interval from ${number(cell.interval[0])} to ${number(cell.interval[1])} ${inside} the claimed region, ${where}.`);
    if (alpha !== null) said.push(`It misses the true value at most ${number(alpha * 100)} % of the time, however often it is looked at.`);
  } else {
    said.push(`The value ${number(cell.estimate)} is exact, worked out over ${plural(cell.units, "unit")}, and ${inside} the claimed region, ${where}.`);
  }
  const controls = cell.controls ?? [];
  for (const control of controls) said.push(comparison(control));
  if (cell.verdict === "no-control" && !controls.length) said.push("The claim names no control, so nothing says that a model that has learned nothing would not do as much.");
  if (cell.verdict === "refuted" || cell.verdict === "inconclusive") said.push("No control was run: a control can only take away from a claim whose region is met.");
  return said;
}

function comparison(control) {
  const made = control.estimates.length;
  const absent = control.estimates.filter((value) => value === null).length;
  const kind = control.redrawn ? "draw" : "alternative";
  const name = `the control “${control.name}”`;
  if (absent === made) return `On ${made === 1 ? `the only ${kind}` : `all ${plural(made, kind)}`} of ${name} the claim's quantity does not exist, so nothing was compared.`;
  const by = control.margin ? ` by more than ${number(control.margin)}` : "";
  const undefinedOn = absent ? ` It does not exist on ${absent} of them.` : "";
  if (!control.clear) return `The model is not shown to do more${by} than ${kind} ${made}${control.redrawn ? ` of ${control.draws}` : ""} of ${name}${closest(control)}.${undefinedOn}`;
  const chance = control.redrawn ? `; one more draw would pass for that with probability ${number(control.error)} at most` : "";
  return `The model does more${by} than ${made === 1 ? `the only ${kind}` : `all ${plural(made, kind)}`} of ${name}${closest(control)}${chance}.${undefinedOn}`;
}

function closest(control) {
  const one = control.closest;
  if (!one) return "";
  const ends = one.interval ? ` (${number(one.interval[0])} to ${number(one.interval[1])})` : "";
  return control.clear ? `, ahead of the closest by ${number(one.ahead)}${ends}` : `: ahead by ${number(one.ahead)}${ends}`;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

// --------------------------------------------------------------------------------------------------------------------
// Figures: traces and a layout, as plotly takes them

const colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();

function figure(caption, draw) {
  const place = h("div", { class: "plot-area", role: "img", "aria-label": caption });
  const whole = h("figure", {}, h("figcaption", {}, caption), place);
  whole.draw = async () => {
    try {
      await plot(place, draw);
    } catch (error) {
      place.textContent = `This figure could not be drawn (${error.message}). Its numbers are in the results file.`;
    }
  };
  return whole;
}

// An axis over several powers of ten is logarithmic, with its ticks at 1, 2 and 5 in full.
function logarithmic(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!(low > 0 && high > 20 * low)) return {};
  const tens = Array.from({ length: 16 }, (_, power) => 10 ** power);
  const tickvals = tens.flatMap((ten) => [ten, 2 * ten, 5 * ten]);
  return { type: "log", tickvals, ticktext: tickvals.map((value) => value.toLocaleString("en")) };
}

// The region as a band; its open side runs to the edge of what is drawn.
function band(expect, values) {
  const scale = axis(values, expect);
  const [low, high] = [lowerEnd(expect), upperEnd(expect)];
  const [bottom, top] = scale.end;
  const edges = [low, high].filter(Number.isFinite);
  return {
    range: [bottom, top],
    shapes: [
      { type: "rect", xref: "paper", x0: 0, x1: 1, y0: Number.isFinite(low) ? low : bottom, y1: Number.isFinite(high) ? high : top, fillcolor: colour("region"), line: { width: 0 }, layer: "below" },
      ...edges.map((edge) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: edge, y1: edge, line: { color: colour("edge"), width: 1, dash: "dot" }, layer: "below" })),
    ],
  };
}

function accumulating(cell) {
  const claim = claimOf(cell);
  return figure(`The interval as units came in, against the region ${claim.expect.region}`, () => {
    const [units, value, low, high] = [0, 1, 2, 3].map((part) => cell.trail.map((look) => look[part]));
    const { shapes, range } = band(claim.expect, [...low, ...high]);
    const ink = colour(cell.verdict);
    return {
      traces: [
        { x: units, y: high, mode: "lines", line: { width: 1, color: ink }, hovertemplate: "upper end %{y:.3g}<extra></extra>" },
        { x: units, y: low, mode: "lines", line: { width: 1, color: ink }, fill: "tonexty", fillcolor: colour(`${cell.verdict}-tint`), hovertemplate: "lower end %{y:.3g}<extra></extra>" },
        { x: units, y: value, mode: "lines+markers", line: { width: 2, color: ink }, marker: { size: 5 }, hovertemplate: "%{x} units: %{y:.3g}<extra></extra>" },
      ],
      layout: { x: { title: "units observed", ...logarithmic(units) }, y: { range }, shapes },
    };
  });
}

function emerging(finding) {
  const seen = finding.judged.filter((one) => one.estimate !== null && one.step !== null);
  return figure(`The finding's estimate along training, against its region ${finding.expect.region}`, () => {
    const { shapes, range } = band(finding.expect, seen.flatMap(valuesOf));
    const off = (one, end) => (one.interval ? Math.abs(one.interval[end] - one.estimate) : 0);
    return {
      traces: [{
        x: seen.map((one) => one.step),
        y: seen.map((one) => one.estimate),
        mode: "lines+markers",
        line: { color: colour("quiet"), width: 1 },
        marker: { size: 9, color: seen.map((one) => colour(one.verdict)), symbol: seen.map((one) => SHAPES[one.verdict]) },
        error_y: { type: "data", symmetric: false, array: seen.map((one) => off(one, 1)), arrayminus: seen.map((one) => off(one, 0)), color: colour("quiet"), thickness: 1, width: 0 },
        text: seen.map((one) => one.verdict),
        hovertemplate: "step %{x}: %{y:.3g}, %{text}<extra></extra>",
      }],
      layout: { x: { title: "training step", ...logarithmic(seen.map((one) => one.step)) }, y: { range }, shapes },
    };
  });
}
const SHAPES = { supported: "circle", "no-control": "circle-open-dot", refuted: "x", vacuous: "circle-open", inconclusive: "diamond-open", untested: "line-ew" };

function responses(curves) {
  // Curves that share their x are one family and are told apart by a legend; a label is text, whatever it looks like.
  const shown = curves.length === 1 ? curves[0].label : "Responses";
  return figure(shown, () => ({
    traces: curves.map((curve, index) => ({
      x: curve.x,
      y: curve.y,
      name: curve.label,
      mode: curve.x.length > 40 ? "lines" : "lines+markers",
      line: { width: 2, color: colour(`series-${(index % 4) + 1}`), dash: ["solid", "dash", "dot", "dashdot"][index % 4] },
      marker: { size: 6, symbol: ["circle", "square", "diamond", "cross"][index % 4] },
      hovertemplate: "%{x:.4g}: %{y:.4g}<extra></extra>",
    })),
    layout: { x: {}, y: {}, legend: curves.length > 1 },
  }));
}
// --------------------------------------------------------------------------------------------------------------------
// The card of a claim

const section = (title, ...children) => h("section", {}, h("h3", {}, title), ...children);
const term = (name, ...parts) => (parts.some((part) => part !== undefined && part !== null && part !== "") ? h("div", {}, h("dt", {}, name), h("dd", {}, ...parts)) : []);

function cardOf(cell) {
  const claim = claimOf(cell);
  const made = columnOf(cell);
  const siblings = ofClaim[cell.claim];
  const figures = [];
  const drawn = (one) => (figures.push(one), one);
  const findings = cell.findings ?? [];
  const beside = siblings.filter((one) => one.estimate !== undefined && checkpoints[one.on].single);
  const over = aboutClaim[cell.claim];
  const curves = cell.figures ?? [];
  const parts = [
    h("p", { class: "path" }, link(`${claim.system}/${claim.mechanism}`, `${claim.system} / ${claim.mechanism}`), ` / ${nameOf(claim)}`, paramsOf(claim) && h("b", {}, ` ${paramsOf(claim)}`)),
    h("h2", { id: "card-title", tabindex: "-1" }, claim.statement),
    h("p", { class: "verdict-line" }, badge(cell.verdict), h("span", {}, " on ", h("b", {}, made.name))),
    h("p", { class: "because" }, because(cell).join(" ")),
    cell.estimate !== undefined && section("Estimate, region and controls", estimateAndControls(cell, claim)),
    section("Facts", facts(cell, claim, made)),
    claim.amendments?.length > 0 && section("Amendments", claim.amendments.map(amendment)),
    cell.trail?.length > 1 && inRegionUnits(claim) && section("Evidence accumulating", drawn(accumulating(cell))),
    cell.counterexample && section("Simplest counterexample", counterexample(cell.counterexample, drawn)),
    cell.no_counterexample && section("Counterexample", h("p", {}, `None: ${cell.no_counterexample}`)),
    findings.map((finding) => restsOn(finding, drawn)),
    curves.length > 0 && section("Response", curves.map((curve) => drawn(responses([curve])))),
    beside.length > 1 && section("The same claim on every checkpoint", everywhere(beside, claim, cell)),
    over.length > 0 && section("Over training runs", over.map((one) => h("p", { class: "over" }, badge(one.verdict), " ", link(one.key, claimOf(one).statement), ` ${estimateText(one)}`, h("span", { class: "quiet" }, ` ${Object.values(claimOf(one).params).join(", ")}`)))),
    section("Run it again", rerun(cell.rerun)),
  ];
  return { parts: parts.flat(Infinity).filter(Boolean), figures };
}

function estimateAndControls(cell, claim) {
  const expect = inRegionUnits(claim) ? claim.expect : null;
  const controls = cell.controls ?? [];
  const published = typeof claim.published === "number" ? claim.published : undefined;
  const scale = axis([...valuesOf(cell), published, ...controls.flatMap((control) => control.estimates.filter((value) => value !== null))], expect);
  const rows = [
    { label: columnOf(cell).single ? "this model" : "this claim", drawn: whisker(scale, cell), value: estimateText(cell), class: "model" },
    published !== undefined && { label: "published", drawn: diamond(scale.place(published)), value: number(published) },
    ...controls.map((control) => {
      const values = control.estimates.filter((value) => value !== null);
      const none = control.estimates.length - values.length;
      return {
        label: control.name,
        drawn: [guide(scale, cell), values.map((value) => s("line", { class: "tick", x1: percent(scale.place(value)), x2: percent(scale.place(value)), y1: "22%", y2: "78%" }))],
        value: [control.clear ? `more than all ${control.estimates.length} ` : control.clear === false ? "one does as much " : "nothing compared ", control.clear ? mark("supported") : control.clear === false ? mark("vacuous") : mark("no-control"), none ? h("span", { class: "quiet" }, ` ${none} undefined`) : null],
      };
    }),
  ].filter(Boolean);
  return [strips(rows, scale, expect), h("p", { class: "key" }, expect ? [h("i", { class: "key-region" }), ` region ${expect.region}`] : `region ${claim.expect.region}`, controls.length ? " · a tick is one draw of a control, the line is this model's estimate" : "")];
}
const guide = (scale, cell) => s("line", { class: `guide ${cell.verdict}`, x1: percent(scale.place(cell.estimate)), x2: percent(scale.place(cell.estimate)), y1: 0, y2: "100%" });

function everywhere(beside, claim, current) {
  const expect = inRegionUnits(claim) ? claim.expect : null;
  const scale = axis(beside.flatMap(valuesOf), expect);
  return strips(beside.map((one) => ({
    label: one === current ? h("b", {}, columnOf(one).name) : link(one.key, columnOf(one).name),
    drawn: whisker(scale, one),
    value: [estimateText(one), " ", mark(one.verdict)],
    class: one === current ? "current" : "",
  })), scale, expect);
}

// A claim over checkpoints: what the finding came to on each of them.
function restsOn(finding, drawn) {
  const index = claims.findIndex((claim) => claim.id === finding.id && JSON.stringify(claim.params) === JSON.stringify(finding.params));
  const title = index < 0 ? `${finding.id} ${Object.values(finding.params).join(", ")}` : claims[index].statement;
  const expect = finding.expect.kind === "permutation" ? null : finding.expect;
  const seen = finding.judged.filter((one) => one.estimate !== null);
  const scale = axis(seen.flatMap(valuesOf), expect);
  const runs = new Set(finding.judged.map((one) => `${one.recipe} ${one.seed}`));
  const along = runs.size === 1 && new Set(finding.judged.map((one) => one.step)).size > 2;
  const rows = finding.judged.map((one) => {
    const cell = index < 0 ? undefined : ofClaim[index].find((other) => other.on === one.checkpoint);
    return {
      label: cell ? link(cell.key, one.name) : one.name,
      drawn: one.estimate === null ? [] : whisker(scale, one),
      value: [estimateText(one), " ", mark(one.verdict)],
    };
  });
  return section(along ? "Emergence over training steps" : "Replication over training runs",
    h("p", { class: "about-finding" }, "The finding: ", index < 0 ? title : link(ofClaim[index][0].key, title)),
    along && expect && seen.length > 1 && drawn(emerging(finding)), strips(rows, scale, expect));
}

function facts(cell, claim, made) {
  const source = claim.source;
  const by = [source.authors, source.year].filter(Boolean).join(", ");
  const at = [["recipe", made.recipe], ["seed", made.seed], ["step", made.step]].filter(([, value]) => value !== null && value !== undefined);
  const survives = { true: "survives", false: "does not survive" }[cell.survives_fdr];
  return h("dl", { class: "facts" },
    term("Estimate", cell.estimate === undefined ? "–" : number(cell.estimate, 5)),
    term("Interval", cell.interval ? `${number(cell.interval[0], 5)} to ${number(cell.interval[1], 5)}` : cell.estimate === undefined ? "" : "none: the value is exact"),
    term("Region", `${claim.expect.region} (${claim.expect.kind})`),
    term("Published", claim.published === null ? "–" : typeof claim.published === "number" ? number(claim.published, 5) : claim.published),
    term("Units", cell.units?.toLocaleString("en")),
    term("Support", cell.support ?? ""),
    term("e-value of the region", cell.e_value === undefined ? "" : evalue(cell.e_value)),
    term("e-value with controls", cell.combined_e_value === undefined ? "" : evalue(cell.combined_e_value), survives && h("span", { class: "quiet" }, ` ${survives} at a false discovery rate of ${number(data.fdr)}`)),
    term("p-value", cell.p_value === undefined ? "" : number(cell.p_value)),
    term("Evidence", claim.evidence_kind, claim.criterion && `, tests ${claim.criterion}`),
    term("Source", h("cite", {}, source.title), by && ` (${by})`, source.at && `: “${source.at}”`),
    term("Registered", claim.registered ?? ""),
    term("Checkpoint", made.name, at.length > 0 && h("span", { class: "quiet" }, ` ${at.map((pair) => pair.join(" ")).join(", ")}`), made.sha256 && h("code", {}, ` ${made.sha256.slice(0, 12)}`)),
    term("Interventions", (cell.interventions ?? []).join("; ")),
    term("Time taken", duration(cell.seconds ?? 0)),
    term("Reason", cell.reason ?? ""));
}

// A change of the claim after it was registered: what, why, and what was known by then.
function amendment({ date, changes, reason, verdicts }) {
  const before = Object.entries(verdicts).map(([verdict, many]) => `${many} ${verdict}`).join(", ");
  const digits = (change, text) => (change.field === "code" ? text.slice(0, 12) : text) || "nothing";
  return [
    h("p", {}, h("b", {}, date), ` ${sentence(reason)} `, h("span", { class: "quiet" }, before ? `On record by then: ${before}.` : "No verdict was on record by then.")),
    h("dl", { class: "facts" }, changes.map((change) => term(change.field, digits(change, change.before), " → ", digits(change, change.after)))),
  ];
}
const evalue = (value) => (value > 1e300 ? "more than 10³⁰⁰" : number(value));

function counterexample(example, drawn) {
  const ranges = Object.entries(example.fails ?? {}).map(([name, ends]) => ends[0] === ends[1] ? `${name} at ${number(ends[0])} alone` : `${name} from ${ends.map((end) => number(end)).join(" to ")}`);
  const curves = example.figures ?? [];
  return [
    h("p", { class: "example" }, example.text ?? ""),
    example.raised && h("p", {}, `The claim's body cannot answer it: ${example.raised}`),
    h("dl", { class: "facts" },
      Object.entries(example.parameters ?? {}).map(([name, value]) => term(name, typeof value === "number" ? number(value, 5) : String(value))),
      term("Margin", typeof example.margin === "number" ? number(example.margin) : ""),
      term("Fails along", ranges.join("; "))),
    curves.length > 0 && drawn(responses(curves)),
  ];
}

function rerun(command) {
  const code = h("code", { tabindex: "0" }, command);
  const copy = h("button", { type: "button", click: async () => {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(command);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Selected";
    }
  } }, "Copy");
  return h("div", { class: "rerun" }, h("pre", {}, code), copy);
}
