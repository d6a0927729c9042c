// One of the two pictures: a canvas that shows a part of the clip, and the ring of the brush over it.

export class Stage {
  // element: holds a canvas and a .cursor. paint(context, stage) draws in clip pixels.
  constructor(element, view, paint) {
    Object.assign(this, { element, view, paint });
    this.canvas = element.querySelector('canvas');
    this.cursor = element.querySelector('.cursor');
    this.context = this.canvas.getContext('2d', { alpha: false });
    element.style.aspectRatio = `${view.width} / ${view.height}`;
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(element);
    this.resize();
  }

  resize() {
    this.width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    if (!this.width || !this.height) return; // not shown yet
    this.dpr = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.max(Math.round(this.width * this.dpr), 1);
    this.canvas.height = Math.max(Math.round(this.height * this.dpr), 1);
    this.view.look(this.view.x, this.view.y, this);
    this.draw();
  }

  place() { return this.view.place(this.width, this.height); }

  // Ask for a new picture; many asks before the next one make one.
  draw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      const { context, dpr } = this, { scale, left, top } = this.place();
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.fillStyle = '#161616';
      context.fillRect(0, 0, this.canvas.width, this.canvas.height);
      context.setTransform(scale * dpr, 0, 0, scale * dpr, left * dpr, top * dpr);
      context.imageSmoothingQuality = 'high';
      this.paint(context, this);
    });
  }

  // Clip pixel under a place of the window.
  clip(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect(), { scale, left, top } = this.place();
    return [(clientX - box.x - left) / scale, (clientY - box.y - top) / scale];
  }

  // The ring at a clip pixel; null hides it.
  point(at, radius) {
    this.cursor.hidden = !at;
    if (!at) return;
    const { scale, left, top } = this.place(), size = 2 * radius * scale;
    Object.assign(this.cursor.style, {
      width: `${size}px`, height: `${size}px`,
      transform: `translate(${left + at[0] * scale - size / 2}px, ${top + at[1] * scale - size / 2}px)`,
    });
  }

  close() {
    this.watch.disconnect();
    cancelAnimationFrame(this.asked);
    this.cursor.hidden = true;
  }
}
