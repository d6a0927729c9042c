// The brush: its size, and the stroke that is being painted.

import { Stroke } from './paint.js';

const BUDGET = 9; // ms; a stroke that takes longer to carry is carried when it ends

export class Brush extends EventTarget {
  // Events 'change' (size or tool), 'painted' (the map changed), 'stroke' (detail: {item, patch}, it is done).
  // facts: radius (cells), strength. cell: clip pixels in a cell.
  constructor(map, facts, cell, now) {
    super();
    Object.assign(this, { map, cell, now, tool: 'brush', radius: facts.radius, strength: facts.strength });
    this.live = null;
  }

  set(values) {
    Object.assign(this, values);
    this.radius = Math.min(Math.max(this.radius, LEAST), MOST);
    this.dispatchEvent(new Event('change'));
  }

  grow(steps) { this.set({ radius: this.radius * 1.15 ** steps }); }

  // Points are {x, y} in clip pixels, {time} in ms, {pressure} in [0, 1].
  begin(frame, point, tool) {
    this.start = point.time;
    const item = {
      kind: 'stroke', tool, frame, radius: round(this.radius), strength: this.strength,
      points: [this.cells(point)], t_ms: Math.round(this.now()),
    };
    const { width, height } = this.map.carrier;
    this.live = { stroke: new Stroke(item, width, height), patch: [], slow: false };
    this.paint();
  }

  cells({ x, y, time, pressure }) {
    const place = [round(x / this.cell.width), round(y / this.cell.height), Math.max(Math.round(time - this.start), 0)];
    return pressure === 1 ? place : [...place, round(pressure)];
  }

  extend(points) {
    if (!this.live) return;
    this.live.stroke.item.points.push(...points.map((point) => this.cells(point)));
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      if (this.live) this.paint();
    });
  }

  paint(whole = false) {
    const { live, map } = this, start = performance.now();
    map.revert(live.patch);
    live.stroke.paint();
    live.patch = map.add(live.stroke, live.slow && !whole ? 0 : undefined);
    live.slow ||= performance.now() - start > BUDGET;
    this.dispatchEvent(new Event('painted'));
  }

  end() {
    if (!this.live) return;
    this.paint(true);
    const { stroke, patch } = this.live;
    this.live = null;
    this.dispatchEvent(new CustomEvent('stroke', { detail: { item: stroke.item, patch } }));
  }

  abort() {
    if (!this.live) return;
    this.map.revert(this.live.patch);
    this.live = null;
    this.dispatchEvent(new Event('painted'));
  }
}

export const LEAST = 1, MOST = 60; // cells
const round = (value) => Math.round(value * 100) / 100;
