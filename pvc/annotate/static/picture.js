// The map as a picture: black to red by its level, the source's edges over it.

const COLOURS = Uint32Array.from({ length: 256 }, (_, level) => (255 << 24) | level); // red is the first byte

export class MapPicture {
  constructor(map, clip, edges) {
    Object.assign(this, { map, clip, edges, showEdges: true });
    const { width, height } = map.carrier;
    this.canvas = Object.assign(document.createElement('canvas'), { width, height });
    this.context = this.canvas.getContext('2d');
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.levels = new Uint8Array(width * height);
  }

  paint(context, frame) {
    const { map, levels, pixels, clip } = this;
    map.frame(frame, levels);
    for (let k = 0; k < levels.length; k++) pixels[k] = COLOURS[levels[k]];
    this.context.putImageData(this.image, 0, 0);
    context.drawImage(this.canvas, 0, 0, clip.width, clip.height);
    const edges = this.showEdges && this.edges.of(frame);
    if (!edges) return;
    context.globalAlpha = 0.5;
    context.drawImage(edges, 0, 0, clip.width, clip.height);
    context.globalAlpha = 1;
  }
}

export class Edges {
  // url(n): of frame n. come(n): called when its picture is there.
  constructor(url, count, come) {
    Object.assign(this, { url, come, pictures: new Array(count) });
    this.queue = [...pictureOrder(count)];
    for (let k = 0; k < 4; k++) this.work();
  }

  of(frame) {
    const picture = this.pictures[frame];
    if (!picture && !this.closed) this.queue.push(frame); // wanted now: before the others
    return picture;
  }

  async work() {
    while (this.queue.length && !this.closed) {
      const frame = this.queue.pop();
      if (this.pictures[frame]) continue;
      const picture = new Image();
      picture.src = this.url(frame);
      try {
        await picture.decode();
        this.pictures[frame] = picture;
        this.come(frame);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 2000)); // the map can be painted without; try again
        this.queue.unshift(frame);
      }
    }
  }

  close() { this.closed = true; }
}

// Each frame once, coarse to fine, last first: so wherever one goes there is soon something near.
function pictureOrder(count) {
  const order = new Set();
  for (let step = 32; step >= 1; step >>= 1) for (let n = 0; n < count; n += step) order.add(n);
  return [...order].reverse();
}
