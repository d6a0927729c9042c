// What a stroke adds to the frame it is painted on.
//
// The map is a grid of cells; cell (row i, column j) has its centre at (j + 0.5, i + 0.5), and places, radii and
// distances count in cells. Dabs lie every radius / 4 along the polyline of the stroke's points, the first on its first
// point. A dab adds strength * (1 - (d / radius)^2)^2 at distance d < radius (the eraser subtracts it), times the pen's
// pressure where a point has one as fourth number (in [0, 1], linear between points). The sum of a stroke is capped at
// 2 * strength in each cell. pvc/annotate/maps.py does the same in the same order.
// Source: Pergament et al., 2022, section III.B: additive functions that decay with the brush's radius.

export class Stroke {
  // item: {tool, frame, radius, strength, points: [[x, y, t_ms, pressure?], ...]}; points may be added by extend().
  constructor(item, width, height) {
    this.item = item;
    this.width = width;
    this.height = height;
    this.sum = new Float64Array(width * height); // of the dabs so far, > 0, not capped
    this.box = [width, height, 0, 0]; // x0, y0, x1, y1 of the cells that may not be 0
    this.done = 0; // points that are painted
    this.left = 0; // way to the next dab
    this.paint();
  }

  // Paint the points that are new.
  paint() {
    const { points, radius } = this.item;
    for (; this.done < points.length; this.done++) {
      const q = points[this.done], p = points[this.done - 1];
      if (!p) {
        this.dab(q[0], q[1], pressure(q));
        this.left = radius / 4;
        continue;
      }
      const dx = q[0] - p[0], dy = q[1] - p[1], length = Math.sqrt(dx * dx + dy * dy);
      if (length === 0) continue;
      for (; this.left <= length + 1e-9; this.left += radius / 4) { // a hair: the last point counts
        const share = this.left / length;
        this.dab(p[0] + dx * share, p[1] + dy * share, pressure(p) + (pressure(q) - pressure(p)) * share);
      }
      this.left -= length;
    }
  }

  dab(x, y, force) {
    const { radius, strength } = this.item, { width, height, sum, box } = this;
    const x0 = Math.max(Math.floor(x - radius), 0), x1 = Math.min(Math.ceil(x + radius), width);
    const y0 = Math.max(Math.floor(y - radius), 0), y1 = Math.min(Math.ceil(y + radius), height);
    const height1 = strength * force, square = radius * radius;
    if (x0 >= x1 || y0 >= y1) return;
    for (let i = y0; i < y1; i++) {
      const dy = i + 0.5 - y;
      for (let j = x0; j < x1; j++) {
        const dx = j + 0.5 - x, fall = 1 - (dx * dx + dy * dy) / square;
        if (fall > 0) sum[i * width + j] += height1 * (fall * fall);
      }
    }
    box[0] = Math.min(box[0], x0); box[1] = Math.min(box[1], y0);
    box[2] = Math.max(box[2], x1); box[3] = Math.max(box[3], y1);
  }

  // What the stroke adds to its frame, capped and with its sign, into `out` (zeros elsewhere).
  delta(out) {
    const { width, sum, box: [x0, y0, x1, y1] } = this;
    const cap = 2 * this.item.strength, sign = this.item.tool === 'eraser' ? -1 : 1;
    for (let i = y0; i < y1; i++) {
      for (let at = i * width + x0, end = i * width + x1; at < end; at++) out[at] = sign * Math.min(sum[at], cap);
    }
  }
}

const pressure = (point) => point[3] ?? 1;
