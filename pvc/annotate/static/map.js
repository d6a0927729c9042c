// The painted map of a clip: strokes add to it and can be taken back.

import { BINS, HIGH, LOW, NEUTRAL, UNIT, levels, shift } from './normalise.js';

export class PaintedMap {
  constructor(carrier) {
    this.carrier = carrier;
    this.cells = carrier.width * carrier.height;
    this.values = new Int16Array(carrier.count * this.cells); // 1/64 levels, before normalisation
    this.counts = new Int32Array(BINS);
    this.far = new Float32Array(carrier.count); // see farthest(); < 0 is not known
    this.table = new Uint8Array(BINS);
    this.clear();
  }

  clear() {
    this.values.fill(NEUTRAL * UNIT);
    this.counts.fill(0);
    this.counts[NEUTRAL * UNIT - LOW] = this.values.length;
    this.far.fill(0);
    this.stale = true;
  }

  // Add a Stroke, carried to at most `reach` frames. Returns what revert() needs to take it back, as long as it is the newest.
  add(stroke, reach = Infinity) {
    const { values, counts, cells, carrier: { width } } = this, patch = [];
    this.carrier.carry(stroke, (t, [x0, y0, x1, y1], delta, weight) => {
      const before = new Int16Array((x1 - x0) * (y1 - y0)), base = t * cells;
      for (let i = y0, k = 0; i < y1; i++) {
        for (let at = i * width + x0, end = i * width + x1; at < end; at++, k++) {
          const old = (before[k] = values[base + at]);
          const value = Math.min(Math.max(old + Math.floor(delta[at] * weight * UNIT + 0.5), LOW), HIGH);
          values[base + at] = value;
          counts[old - LOW]--;
          counts[value - LOW]++;
        }
      }
      patch.push({ t, box: [x0, y0, x1, y1], before, far: this.far[t] });
      this.far[t] = -1;
    }, reach);
    this.stale = true;
    return patch;
  }

  revert(patch) {
    const { values, counts, cells, carrier: { width } } = this;
    for (const { t, box: [x0, y0, x1, y1], before, far } of patch) {
      for (let i = y0, k = 0; i < y1; i++) {
        for (let at = t * cells + i * width + x0, end = at + x1 - x0; at < end; at++, k++) {
          counts[values[at] - LOW]--;
          counts[before[k] - LOW]++;
          values[at] = before[k];
        }
      }
      this.far[t] = far;
    }
    this.stale = true;
  }

  // How far from neutral the frame was painted, in levels.
  farthest(t) {
    let far = 0;
    if (this.far[t] >= 0) return this.far[t];
    for (let at = t * this.cells, end = at + this.cells; at < end; at++) {
      const d = Math.abs(this.values[at] - NEUTRAL * UNIT);
      if (d > far) far = d;
    }
    return (this.far[t] = far / UNIT);
  }

  normalise() {
    if (!this.stale) return;
    this.c = shift(this.counts);
    levels(this.c, this.table);
    this.stale = false;
  }

  // Uint8Array [h * w] of a frame, normalised.
  frame(t, out = new Uint8Array(this.cells)) {
    this.normalise();
    for (let k = 0, at = t * this.cells; k < this.cells; k++, at++) out[k] = this.table[this.values[at] - LOW];
    return out;
  }

  // Uint8Array [T * h * w], normalised, as it is sent.
  bytes() {
    this.normalise();
    const out = new Uint8Array(this.values.length);
    for (let k = 0; k < out.length; k++) out[k] = this.table[this.values[k] - LOW];
    return out;
  }
}
