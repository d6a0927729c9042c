// Rate-distortion curves in `box`; the data are those of pvc/evaluation/chart.py.
function rdChart(box, data) {
  const picture = box.querySelector("svg"), tip = box.querySelector(".tip"), legend = box.querySelector(".legend");
  const [panelChoice, metricChoice, rateChoice] = ["panel", "metric", "rate"].map((n) => box.querySelector(`[name=${n}]`));
  const shown = data.curves.map((curve) => curve.shown);
  let dots = [], buttons = new Map();

  data.panels.forEach((panel, i) => panelChoice.add(new Option(panel.name, i)));

  function chooseMetrics() {
    const before = metricChoice.value, have = data.panels[panelChoice.value].curves;
    metricChoice.replaceChildren(...Object.keys(data.metrics).filter((m) => m in have).map((m) => new Option(data.metrics[m].title, m)));
    if (before in have) metricChoice.value = before;
  }

  function drawLegend(here) {
    if (here.join() !== [...buttons.keys()].join()) {  // else they stay, so that a double click meets the same button twice
      buttons = new Map(here.map((index) => [index, legendButton(index)]));
      legend.replaceChildren(...buttons.values());
    }
    for (const [index, button] of buttons) button.setAttribute("aria-pressed", shown[index]);
  }

  function legendButton(index) {
    const curve = data.curves[index], button = document.createElement("button"), sample = svg("svg", { viewBox: "0 0 34 14" });
    sample.append(
      svg("line", { x1: 1, x2: 33, y1: 7, y2: 7, stroke: curve.color, "stroke-width": 2, "stroke-dasharray": DASHES[curve.linestyle] }),
      marker(curve, 17, 7, 5),
    );
    button.type = "button";
    button.append(sample, curve.name);
    button.onclick = () => { shown[index] = !shown[index]; draw(); };
    button.ondblclick = () => { shown.forEach((_, i) => { shown[i] = i === index; }); draw(); };
    button.onpointerenter = () => highlight(index);
    button.onpointerleave = () => highlight(null);
    return button;
  }

  function draw() {
    const metric = data.metrics[metricChoice.value], rate = +rateChoice.value;
    const all = (data.panels[panelChoice.value].curves[metricChoice.value] || [])
      .map(([index, points]) => [index, points.filter((p) => p[rate] !== null)]).filter(([, points]) => points.length);
    const visible = all.filter(([index]) => shown[index]), points = visible.flatMap(([, list]) => list);
    const width = picture.clientWidth, height = picture.clientHeight, left = 58, right = 14, top = 12, bottom = 44;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.replaceChildren();
    dots = [];
    tip.hidden = true;
    drawLegend(all.map(([index]) => index));
    if (!points.length) {
      picture.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "no curve to show; choose another rate or click a name"));
      return;
    }
    const rates = points.map((p) => p[rate]), values = points.map((p) => p[3]);
    const [r0, r1] = [Math.log(Math.min(...rates)), Math.log(Math.max(...rates))], rPad = 0.04 * (r1 - r0) || 0.5;
    const [v0, v1] = [Math.min(...values), Math.max(...values)], vPad = 0.06 * (v1 - v0) || 0.5;
    const x = (r) => left + (width - left - right) * (Math.log(r) - r0 + rPad) / (r1 - r0 + 2 * rPad);
    const share = (v) => (v - v0 + vPad) / (v1 - v0 + 2 * vPad);
    const y = (v) => top + (height - top - bottom) * (metric.up ? 1 - share(v) : share(v));
    for (const t of logTicks(Math.exp(r0 - rPad), Math.exp(r1 + rPad))) {
      picture.append(svg("line", { class: "grid", x1: x(t), x2: x(t), y1: top, y2: height - bottom }),
        svg("text", { x: x(t), y: height - bottom + 17, "text-anchor": "middle" }, t));
    }
    for (const t of niceTicks(v0 - vPad, v1 + vPad, 7)) {
      picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
        svg("text", { x: left - 8, y: y(t) + 4, "text-anchor": "end" }, t));
    }
    picture.append(
      svg("line", { class: "frame", x1: left, x2: left, y1: top, y2: height - bottom }),
      svg("line", { class: "frame", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
      svg("text", { class: "axis", x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, rateChoice.selectedOptions[0].text),
      svg("text", { class: "axis", transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, metric.label),
    );
    for (const [index, list] of visible) {
      const curve = data.curves[index], group = svg("g", { class: "curve", "data-curve": index });
      group.append(svg("polyline", {
        points: list.map((p) => `${x(p[rate]).toFixed(1)},${y(p[3]).toFixed(1)}`).join(" "),
        fill: "none", stroke: curve.color, "stroke-width": 2, "stroke-dasharray": DASHES[curve.linestyle], "stroke-linejoin": "round",
      }));
      for (const p of list) {
        group.append(marker(curve, x(p[rate]), y(p[3]), 4.5));
        dots.push({ x: x(p[rate]), y: y(p[3]), index, point: p });
      }
      picture.append(group);
    }
  }

  function highlight(index) {
    for (const group of picture.querySelectorAll(".curve")) group.classList.toggle("dim", index !== null && +group.dataset.curve !== index);
  }

  function explain(event) {
    const area = picture.getBoundingClientRect(), px = event.clientX - area.left, py = event.clientY - area.top;
    const near = dots.reduce((best, dot) => {
      const distance = Math.hypot(dot.x - px, dot.y - py);
      return distance < best.distance ? { dot, distance } : best;
    }, { dot: null, distance: 32 }).dot;
    picture.querySelectorAll(".ring").forEach((ring) => ring.remove());
    highlight(near ? near.index : null);
    tip.hidden = !near;
    if (!near) return;
    const [bpp, kbps, value, scaled, label] = near.point, metric = data.metrics[metricChoice.value];
    const rates = [bpp === null ? [] : [`${bpp.toPrecision(4)} bpp`], kbps === null ? [] : [`${kbps.toPrecision(4)} kbit/s`]].flat();
    const lines = [data.curves[near.index].name, label, rates.join(" · "),
      `${metric.title} ${value.toPrecision(4)}${scaled === value ? "" : ` (${scaled.toFixed(2)} dB)`}`];
    tip.replaceChildren(...lines.flatMap((text, i) => {
      const part = document.createElement(i ? "span" : "b");
      part.textContent = text;
      return i > 1 ? [document.createElement("br"), part] : [part];
    }));
    picture.append(svg("circle", { class: "ring", cx: near.x, cy: near.y, r: 8, fill: "none", stroke: data.curves[near.index].color, "stroke-width": 2 }));
    const toLeft = near.x + tip.offsetWidth + 24 > area.width;
    tip.style.left = `${toLeft ? near.x - tip.offsetWidth - 14 : near.x + 14}px`;
    tip.style.top = `${Math.max(0, Math.min(near.y - tip.offsetHeight / 2, area.height - tip.offsetHeight))}px`;
  }

  picture.onpointermove = explain;
  picture.onpointerdown = explain;
  picture.onpointerleave = () => { tip.hidden = true; highlight(null); picture.querySelectorAll(".ring").forEach((r) => r.remove()); };
  panelChoice.onchange = () => { chooseMetrics(); draw(); };
  metricChoice.onchange = rateChoice.onchange = draw;
  chooseMetrics();
  const points = Object.values(data.panels[0].curves).flat().flatMap(([, list]) => list);
  if (points.every((p) => p[0] === null)) rateChoice.value = 1;
  new ResizeObserver(draw).observe(picture);  // calls it once at first
}
