"use strict";
// SVG: markers, ticks of axes.
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
