// One claim's card on a page of its own, which links nowhere, with figures as plain SVG.

const link = (_key, ...children) => h("span", {}, ...children);

function plot(place, draw) {
  const { traces, layout } = draw();
  const across = axis(traces.flatMap((trace) => [...trace.x]));
  const up = axis([...traces.flatMap((trace) => [...trace.y]), ...(layout.y.range ?? [])]);
  const [left, top] = [across.place, (value) => 100 - up.place(value)];
  const points = (trace) => trace.x.map((at, i) => `${left(at).toFixed(2)} ${top(trace.y[i]).toFixed(2)}`);
  const path = (some, attributes) => s("path", { d: `M${some.join("L")}`, "vector-effect": "non-scaling-stroke", ...attributes });
  const drawn = (trace, i) => [
    trace.fill && path([...points(trace), ...points(traces[i - 1]).reverse()], { fill: trace.fillcolor }),
    trace.mode.includes("lines") && path(points(trace), { fill: "none", stroke: trace.line.color, "stroke-width": trace.line.width, "stroke-dasharray": { dash: "6 4", dot: "2 3", dashdot: "6 3 2 3" }[trace.line.dash] }),
  ];
  const marks = (trace) => trace.x.map((at, i) => {
    const [value, colours] = [trace.y[i], trace.marker?.color ?? trace.line.color];
    const [cx, ink] = [percent(left(at)), Array.isArray(colours) ? colours[i] : colours];
    const off = trace.error_y && [value - trace.error_y.arrayminus[i], value + trace.error_y.array[i]].map((end) => percent(top(end)));
    return [
      off && s("line", { x1: cx, x2: cx, y1: off[0], y2: off[1], stroke: trace.error_y.color }),
      trace.mode.includes("markers") && s("circle", { cx, cy: percent(top(value)), r: 3, fill: ink }, s("title", {}, `${number(at)}: ${number(value)}`)),
    ];
  });
  const ends = (shape) => [shape.y1, shape.y0].map((value) => Math.min(100, Math.max(0, top(value))));
  const behind = (layout.shapes ?? []).map((shape) => {
    const [y1, y2] = ends(shape);
    if (shape.type === "line") return s("line", { class: "edge", x1: 0, x2: "100%", y1: percent(y1), y2: percent(y2) });
    return s("rect", { class: "region", x: 0, width: "100%", y: percent(y1), height: percent(y2 - y1) });
  });
  const text = (attributes, words) => s("text", attributes, words);
  place.replaceChildren(
    s("svg", { class: "sketch", "aria-hidden": "true" }, behind,
      up.ticks.map(([tick, at]) => [s("line", { class: "ground", x1: 0, x2: "100%", y1: percent(100 - at), y2: percent(100 - at) }), text({ x: -8, y: percent(100 - at), dy: 4, "text-anchor": "end" }, number(tick))]),
      across.ticks.map(([tick, at]) => text({ x: percent(at), y: "100%", dy: 18, "text-anchor": "middle" }, number(tick))),
      text({ x: "50%", y: "100%", dy: 36, "text-anchor": "middle" }, layout.x.title ?? ""),
      s("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", width: "100%", height: "100%" }, traces.map(drawn)),
      traces.map(marks)),
    layout.legend ? h("p", { class: "key" }, traces.map((trace) => [h("span", { style: `color: ${trace.line.color}` }, "— "), `${trace.name} `])) : "");
}

const { parts, figures } = cardOf(cells[0]);
document.getElementById("card").append(...parts);
const redraw = () => figures.forEach((one) => one.draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
redraw();
document.documentElement.dataset.ready = "true";
