// The map's mean is 127 over the whole clip: every value v becomes v + c, clipped to [0, 255], with the c that gives it.
//
// The same as pvc.importance.compose.normalise(over="clip"), and as there for the same reasons; values are counted in
// 1/64 levels and may lie up to 255 from neutral, so that painting over and over can be taken back by erasing.
// Source: Pergament et al., 2022, section III.B.

export const NEUTRAL = 127;
export const UNIT = 64; // values are whole numbers of 1/64 level, so that sums are exact
export const LOW = (NEUTRAL - 255) * UNIT;
export const HIGH = (NEUTRAL + 255) * UNIT;
export const BINS = HIGH - LOW + 1;

// counts: Int32Array [BINS] of values from LOW to HIGH. Returns c in levels.
export function shift(counts) {
  const number = new Float64Array(BINS + 1), total = new Float64Array(BINS + 1); // of values below the k-th
  for (let k = 0; k < BINS; k++) {
    number[k + 1] = number[k] + counts[k];
    total[k + 1] = total[k] + counts[k] * (LOW + k);
  }
  const all = number[BINS];
  const sum = (c) => {
    // Of values between -c and 255 - c the sum, of those above 255 each.
    const first = clamp(Math.ceil(-c * UNIT) - LOW), end = clamp(Math.floor((255 - c) * UNIT) + 1 - LOW);
    return (total[end] - total[first]) / UNIT + c * (number[end] - number[first]) + 255 * (all - number[end]);
  };
  if (Math.abs(sum(0) / all - NEUTRAL) < 0.5 / 257) return 0; // half a step of compose.normalise
  let low = -510, high = 510;
  for (let k = 0; k < 32; k++) {
    const c = (low + high) / 2;
    if (sum(c) < NEUTRAL * all) low = c;
    else high = c;
  }
  return (low + high) / 2;
}

const clamp = (k) => Math.min(Math.max(k, 0), BINS);

// Uint8Array [BINS]: the level 0 to 255 that each value is shown and sent as.
export function levels(c, out = new Uint8Array(BINS)) {
  for (let k = 0; k < BINS; k++) out[k] = Math.floor(Math.min(Math.max((LOW + k) / UNIT + c, 0), 255) + 0.5);
  return out;
}
