"use strict";
document.body.classList.add("scripted");

// Tables: one of several choices is shown.
for (const group of document.querySelectorAll(".group")) {
  const select = group.querySelector(".choose");
  if (select) select.onchange = () => only(group.querySelectorAll(".choice"), select.selectedIndex);
}

function only(elements, index) {
  elements.forEach((element, i) => element.toggleAttribute("data-later", i !== index));
}

// Curves.
const MARKERS = {  // as polygons in a circle of radius 1: [corners, inner radius of a star or 0, rotation in turns]
  s: [4, 0, 0.125], D: [4, 0, 0], d: [4, 0, 0], "^": [3, 0, 0], v: [3, 0, 0.5], "<": [3, 0, -0.25], ">": [3, 0, 0.25],
  p: [5, 0, 0], h: [6, 0, 0], "*": [5, 0.45, 0], P: [4, 0.5, 0], X: [4, 0.5, 0.125],
};
const DASHES = { "-": "", "--": "6 4", ":": "2 4" };

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  return element;
}

function marker(curve, x, y, radius) {
  if (!(curve.marker in MARKERS)) return svg("circle", { cx: x, cy: y, r: radius * 0.9, fill: curve.color });
  const [corners, inner, turn] = MARKERS[curve.marker], points = [];
  const count = inner ? 2 * corners : corners;
  for (let i = 0; i < count; i++) {
    const angle = 2 * Math.PI * (i / count + turn) - Math.PI / 2, r = radius * (inner && i % 2 ? inner : 1.15);
    points.push(`${(x + r * Math.cos(angle)).toFixed(1)},${(y + r * Math.sin(angle)).toFixed(1)}`);
  }
  return svg("polygon", { points: points.join(" "), fill: curve.color });
}

function niceTicks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough), ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(+(i * step).toPrecision(12));
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const m of [1, 2, 5]) ticks.push(+(m * 10 ** power).toPrecision(3));
  }
  return ticks.filter((t) => t >= low * 0.999 && t <= high * 1.001);
}

function chart(box, data) {
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

const curves = document.getElementById("curves"), chartData = JSON.parse(document.getElementById("chart-data").textContent);
if (chartData.panels.length) chart(curves, chartData);
else curves.hidden = true;

// Pictures: as they are, their difference to the reference, or two under one wipe.
function viewer(bar) {
  const scenes = [...document.querySelectorAll(".scene")], sceneChoice = bar.querySelector("[name=scene]");
  const gainChoice = bar.querySelector("[name=gain]");
  let mode = "decoded";

  function current() { return scenes[sceneChoice ? sceneChoice.selectedIndex : 0]; }

  function pixels(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  async function difference(scene) {
    const images = [...scene.querySelectorAll("figure img")], gain = +gainChoice.value;
    await Promise.all(images.map((image) => image.decode()));
    const reference = pixels(images[0]).data;
    for (const image of images.slice(1)) {
      const other = pixels(image), bytes = other.data;
      for (let i = 0; i < bytes.length; i++) if (i % 4 !== 3) bytes[i] = gain * Math.abs(bytes[i] - reference[i]);  // clamps at 255
      let canvas = image.parentElement.querySelector("canvas");
      if (!canvas) image.after(canvas = document.createElement("canvas"));
      canvas.width = other.width;
      canvas.height = other.height;
      canvas.getContext("2d").putImageData(other, 0, 0);
      canvas.hidden = mode !== "difference";
    }
  }

  const stages = scenes.map((scene) => {
    const stage = scene.querySelector(".stage"), canvas = stage.querySelector("canvas"), context = canvas.getContext("2d");
    const images = [...scene.querySelectorAll("figure img")], split = stage.querySelector("[name=split]");
    const [left, right, flicker] = ["left", "right", "flicker"].map((n) => stage.querySelector(`[name=${n}]`));
    const [leftTag, rightTag] = stage.querySelectorAll(".tag");
    let timer = null, second = false;
    for (const select of [left, right]) images.forEach((image, i) => select.add(new Option(image.alt, i)));
    right.value = images.length - 1;

    async function paint() {
      const [a, b] = [images[left.value], images[right.value]];
      await Promise.all([a.decode(), b.decode()]);
      const at = flicker.checked ? (second ? 0 : canvas.width) : Math.round(canvas.width * split.value / 1000);
      context.drawImage(b, 0, 0, canvas.width, canvas.height);
      if (at > 0) context.drawImage(a, 0, 0, at, canvas.height, 0, 0, at, canvas.height);
      context.fillStyle = "#fff";
      if (!flicker.checked) context.fillRect(at - 1, 0, 2, canvas.height);
      leftTag.textContent = a.alt;
      rightTag.textContent = b.alt;
      leftTag.hidden = at === 0;
      rightTag.hidden = at === canvas.width;
    }

    function blink() {
      clearInterval(timer);
      split.disabled = flicker.checked;
      if (flicker.checked) timer = setInterval(() => { second = !second; if (!stage.hidden && !scene.hasAttribute("data-later")) paint(); }, 500);
      paint();
    }

    function wipe(event) {
      const area = canvas.getBoundingClientRect();
      split.value = 1000 * (event.clientX - area.left) / area.width;
      paint();
    }

    canvas.onpointermove = canvas.onpointerdown = wipe;
    left.onchange = right.onchange = split.oninput = paint;
    flicker.onchange = blink;
    return { stage, paint };
  });

  function update() {
    only(scenes, scenes.indexOf(current()));
    document.body.classList.toggle("difference", mode === "difference");
    document.body.classList.toggle("compare", mode === "compare");
    bar.querySelector(".for-outline").hidden = !current().querySelector(".outline");
    for (const button of bar.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    for (const canvas of document.querySelectorAll("figure canvas")) canvas.hidden = mode !== "difference";
    stages.forEach(({ stage }) => { stage.hidden = mode !== "compare"; });
    if (mode === "difference") difference(current());
    if (mode === "compare") stages[scenes.indexOf(current())].paint();
  }

  for (const button of bar.querySelectorAll("[data-mode]")) button.onclick = () => { mode = button.dataset.mode; update(); };
  if (sceneChoice) sceneChoice.onchange = update;
  gainChoice.onchange = update;
  bar.querySelector("[name=outlined]").onchange = (event) => document.body.classList.toggle("outlined", event.target.checked);
  bar.querySelector("[name=full]").onchange = (event) =>
    document.querySelectorAll(".views").forEach((views) => views.classList.toggle("full", event.target.checked));
  update();
}

if (document.getElementById("viewer")) viewer(document.getElementById("viewer"));
