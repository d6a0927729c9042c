// Curves over steps: as logged (faint) and their running mean (bold), with the values at the pointer.
function smoothed(points, weight) {  // exponential mean without the pull of its start
  let mean = 0, share = 0;
  return points.map(([step, value]) => {
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return [step, mean / share];
  });
}

function short(value) {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : +value.toPrecision(5);
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  made.append(...children);
  return made;
}

function lineChart(box, spec, smoothing) {
  const picture = svg("svg", { role: "img", "aria-label": `${spec.title} over steps` });
  const tip = element("div", { class: "tip", hidden: "" }), legend = element("div", { class: "legend" });
  const scale = element("button", { type: "button", "data-keep": `log ${spec.title}`, title: "axis: linear or logarithmic" }, "log");
  const all = spec.series.flatMap((s) => s.points.map((p) => p[1])), positive = spec.log !== null && all.every((v) => v > 0);  // null: no logarithmic axis
  const hidden = new Set();
  let log = spec.log && positive, lines = [], place = null;
  box.append(element("h3", {}, spec.title, ...(positive ? [scale] : [])), element("div", { class: "chart" }, picture, tip), legend);
  scale.onclick = () => { log = !log; draw(); };

  spec.series.forEach((s, i) => {
    if (spec.series.length === 1 && spec.log !== null) return;  // the title says it
    const sample = svg("svg", { viewBox: "0 0 34 14" });
    sample.append(svg("line", { x1: 1, x2: 33, y1: 7, y2: 7, style: `stroke: var(--c${i % 8})`, "stroke-width": 2 }));
    const button = element("button", { type: "button", "aria-pressed": "true", "data-keep": `${spec.title}: ${s.name}` }, sample, s.name);
    button.onclick = () => { hidden.delete(i) || hidden.add(i); button.setAttribute("aria-pressed", !hidden.has(i)); draw(); };
    legend.append(button);
  });

  function draw() {
    const width = picture.clientWidth, height = picture.clientHeight, left = 58, right = 12, top = 8, bottom = 24;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.replaceChildren();
    scale.setAttribute("aria-pressed", log);
    scale.textContent = log ? "log" : "linear";
    tip.hidden = true;
    lines = spec.series.map((s, i) => ({ ...s, i, bold: spec.smooth ? smoothed(s.points, smoothing()) : s.points })).filter((s) => !hidden.has(s.i));
    const points = lines.flatMap((s) => [...s.points, ...s.bold]);
    if (!points.length) return;
    const f = log ? Math.log10 : (v) => v, steps = points.map((p) => p[0]);
    // What is far out (the first steps, or a spike) may leave the picture, so that the rest is seen.
    const sorted = points.map((p) => f(p[1])).sort((a, b) => a - b), at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    let [low, high] = spec.smooth && sorted.length > 60 ? [at(0.005), at(0.995)] : [sorted[0], sorted[sorted.length - 1]];
    const pad = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - pad, high + pad];
    const [s0, s1] = [Math.min(...steps), Math.max(...steps)];
    const x = (step) => left + (width - left - right) * (s1 > s0 ? (step - s0) / (s1 - s0) : 0.5);
    const y = (v) => top + (height - top - bottom) * Math.min(Math.max((high - f(v)) / (high - low), -0.02), 1.02);
    let ticks = log && 10 ** high / 10 ** low > 5 ? logTicks(10 ** low, 10 ** high) : niceTicks(log ? 10 ** low : low, log ? 10 ** high : high, 5);
    if (ticks.length > 8) ticks = ticks.filter((t) => Math.abs(Math.log10(t) % 1) < 1e-6);
    for (const t of ticks) {
      picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
        svg("text", { x: left - 8, y: y(t) + 4, "text-anchor": "end" }, short(t)));
    }
    for (const t of s1 > s0 ? niceTicks(s0, s1, Math.max(2, width / 110)) : [s0]) {
      picture.append(svg("text", { x: x(t), y: height - 6, "text-anchor": "middle" }, t.toLocaleString("en")));
    }
    for (const step of spec.resumed.filter((r) => r > s0 && r < s1)) {
      const line = svg("line", { class: "resumed", x1: x(step), x2: x(step), y1: top, y2: height - bottom });
      line.append(svg("title", {}, `resumed at step ${step}`));
      picture.append(line);
    }
    if (low < 0 && high > 0 && !log) picture.append(svg("line", { class: "frame", x1: left, x2: width - right, y1: y(0), y2: y(0) }));
    for (const s of lines) {
      const path = (list) => list.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ");
      const look = { fill: "none", style: `stroke: var(--c${s.i % 8})`, "stroke-linejoin": "round" };
      if (spec.smooth) picture.append(svg("polyline", { ...look, class: "raw", points: path(s.points), "stroke-width": 1 }));
      picture.append(svg("polyline", { ...look, class: "bold", points: path(s.bold), "stroke-width": 2 }));
      if (s.points.length < 30) {
        for (const p of s.bold) picture.append(svg("circle", { cx: x(p[0]), cy: y(p[1]), r: 2.5, style: `fill: var(--c${s.i % 8})` }));
      }
    }
    place = { x, y, s0, s1, left, right, top, bottom, width, height };
  }

  function explain(event) {
    if (!place || !lines.length) return;
    const area = picture.getBoundingClientRect(), px = event.clientX - area.left;
    const wanted = place.s0 + (place.s1 - place.s0) * (px - place.left) / (place.width - place.left - place.right);
    const nearest = (list) => list.reduce((best, p, i) => (Math.abs(p[0] - wanted) < Math.abs(list[best][0] - wanted) ? i : best), 0);
    const step = Math.min(...lines.map((s) => [Math.abs(s.points[nearest(s.points)][0] - wanted), s.points[nearest(s.points)][0]]).sort((a, b) => a[0] - b[0])[0].slice(1));
    picture.querySelectorAll(".hover").forEach((old) => old.remove());
    picture.append(svg("line", { class: "hover", x1: place.x(step), x2: place.x(step), y1: place.top, y2: place.height - place.bottom }));
    const said = lines.flatMap((s) => {
      const i = nearest(s.points), value = short(s.points[i][1]), dot = element("i", { style: `background: var(--c${s.i % 8})` });
      if (s.points[i][0] !== step) return [];
      picture.append(svg("circle", { class: "hover", cx: place.x(step), cy: place.y(s.bold[i][1]), r: 4, style: `fill: var(--c${s.i % 8})` }));
      const mean = spec.smooth && smoothing() > 0 ? ` (mean ${short(s.bold[i][1])})` : "";
      return [element("div", {}, dot, `${s.name} ${value}${mean}`)];
    });
    tip.replaceChildren(element("b", {}, `step ${step.toLocaleString("en")}`), ...said);
    tip.hidden = false;
    const at = place.x(step), toLeft = at + tip.offsetWidth + 16 > area.width;
    tip.style.left = `${Math.max(0, toLeft ? at - tip.offsetWidth - 12 : at + 12)}px`;
    tip.style.top = "4px";
  }

  picture.onpointermove = picture.onpointerdown = explain;
  picture.onpointerleave = () => { tip.hidden = true; picture.querySelectorAll(".hover").forEach((old) => old.remove()); };
  new ResizeObserver(draw).observe(picture);  // calls it once at first
  return draw;
}
