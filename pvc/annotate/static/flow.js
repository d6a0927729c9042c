// Optical flow of a clip, and strokes carried along it to the frames that follow.
//
// flow.bin (little-endian): uint32 'PVCF', steps (frames - 1), grid height h, grid width w; then for each step t the
// flow of frame t + 1 to frame t: int16 [h, w] of x, int16 [h, w] of y, both in 1/64 cells, and uint8 [h, w] of
// confidence. What frame t + 1 shows at p, frame t showed at p + flow(p); so a stroke is looked up, bilinearly, places
// beyond the border being those on it, and multiplied by confidence / 255. After k frames 1 - k / frames of it is left
// (decay "linear"; Pergament et al., 2022, section III.C: 40 frames), or decay^k. Values below 1/64 are none, so that a
// stroke does not spread.

import { UNIT } from './normalise.js';

const MAGIC = 0x46435650; // 'PVCF'
const FLOW_UNIT = 64;
const LEAST = 1 / UNIT;

export class Flow {
  constructor(buffer) {
    const head = new DataView(buffer);
    if (buffer.byteLength < 16 || head.getUint32(0, true) !== MAGIC) throw new Error('the optical flow is no flow.bin');
    [this.steps, this.height, this.width] = [4, 8, 12].map((at) => head.getUint32(at, true));
    const cells = this.width * this.height;
    if (buffer.byteLength !== 16 + 5 * cells * this.steps) throw new Error('the optical flow is cut off');
    this.buffer = buffer;
    this.cells = cells;
    this.read = new Map(); // step -> planes
  }

  // Planes of one step, and how far they reach.
  step(t) {
    let planes = this.read.get(t);
    if (!planes) {
      const at = 16 + 5 * this.cells * t, middle = at + 4 * this.cells;
      const vectors = new Int16Array(this.buffer.slice(at, middle)); // a copy: planes of odd size lie unaligned
      const x = vectors.subarray(0, this.cells), y = vectors.subarray(this.cells);
      planes = { x, y, confidence: new Uint8Array(this.buffer, middle, this.cells), reach: [...range(x), ...range(y)] };
      this.read.set(t, planes);
    }
    return planes;
  }
}

function range(plane) {
  let low = 0, high = 0;
  for (const v of plane) {
    if (v < low) low = v;
    else if (v > high) high = v;
  }
  return [low, high];
}

export class Carrier {
  // Of a clip of `count` frames. propagate: {frames, decay}, how far strokes are carried and how they fade.
  constructor(flow, count, { frames, decay }) {
    const { width, height } = flow;
    Object.assign(this, { flow, width, height, count, frames });
    this.left = (k) => (decay === 'linear' ? 1 - k / frames : decay ** k);
    this.now = new Float64Array(width * height);
    this.next = new Float64Array(width * height);
  }

  // Calls add(frame, box, values, weight) for the stroke's frame and the ones that it reaches (at most `reach`);
  // values outside of the box are none, and what is passed may be read only during the call.
  carry(stroke, add, reach = Infinity) {
    const { frame } = stroke.item, last = Math.min(this.count - 1, frame + Math.min(this.frames, reach));
    let box = [...stroke.box];
    this.now.fill(0);
    stroke.delta(this.now);
    for (let t = frame; box[0] < box[2]; t++) {
      add(t, box, this.now, this.left(t - frame));
      if (t === last) return;
      this.next.fill(0);
      box = this.move(box, this.flow.step(t));
      [this.now, this.next] = [this.next, this.now];
    }
  }

  // `now` looked up into `next`; returns the box of what is there.
  move([x0, y0, x1, y1], planes) {
    const { width, height, now, next } = this, { x, y, confidence, reach } = planes;
    const right = width - 1, bottom = height - 1;
    // Cells on the border are looked up from everywhere beyond it.
    const from = x0 === 0 ? 0 : Math.max(Math.floor(x0 - reach[1] / FLOW_UNIT) - 1, 0);
    const to = x1 === width ? width : Math.min(Math.ceil(x1 - reach[0] / FLOW_UNIT) + 1, width);
    const top = y0 === 0 ? 0 : Math.max(Math.floor(y0 - reach[3] / FLOW_UNIT) - 1, 0);
    const end = y1 === height ? height : Math.min(Math.ceil(y1 - reach[2] / FLOW_UNIT) + 1, height);
    const box = [width, height, 0, 0];
    for (let i = top; i < end; i++) {
      for (let j = from, at = i * width + from; j < to; j++, at++) {
        if (confidence[at] === 0) continue;
        let sx = j + x[at] / FLOW_UNIT, sy = i + y[at] / FLOW_UNIT;
        if (sx < 0) sx = 0;
        else if (sx > right) sx = right;
        if (sy < 0) sy = 0;
        else if (sy > bottom) sy = bottom;
        const j0 = sx | 0, i0 = sy | 0;
        if (j0 + 1 < x0 || j0 >= x1 || i0 + 1 < y0 || i0 >= y1) continue;
        const fx = sx - j0, fy = sy - i0;
        const a = i0 * width + j0, across = j0 < right ? 1 : 0, b = i0 < bottom ? a + width : a;
        const upper = now[a] + (now[a + across] - now[a]) * fx, lower = now[b] + (now[b + across] - now[b]) * fx;
        const value = ((upper + (lower - upper) * fy) * confidence[at]) / 255;
        if (value < LEAST && value > -LEAST) continue;
        next[at] = value;
        if (j < box[0]) box[0] = j;
        if (j >= box[2]) box[2] = j + 1;
        if (i < box[1]) box[1] = i;
        if (i >= box[3]) box[3] = i + 1;
      }
    }
    return box;
  }
}
