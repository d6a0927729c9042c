// The frame slider, with what is painted in each frame behind it.

export class Timeline {
  constructor(root, deck, map, history, signal) {
    Object.assign(this, { ...root, deck, map, history });
    this.slider.max = deck.clip.frames - 1;
    this.slider.addEventListener('input', () => deck.go(Number(this.slider.value)), { signal });
    deck.addEventListener('frame', () => this.show(), { signal });
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.marks);
    this.show();
  }

  show() {
    const { deck: { frame, clip } } = this, seconds = (frame * clip.fps[1]) / clip.fps[0];
    this.slider.value = frame;
    this.slider.setAttribute('aria-valuetext', `frame ${frame + 1} of ${clip.frames}`);
    this.number.textContent = `${frame + 1} / ${clip.frames}`;
    this.time.textContent = `${seconds.toFixed(2)} s`;
  }

  draw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      this.paint();
    });
  }

  paint() {
    const { marks, map, deck: { clip: { frames } } } = this, dpr = devicePixelRatio || 1;
    const width = (marks.width = Math.round(marks.clientWidth * dpr)), height = (marks.height = Math.round(marks.clientHeight * dpr));
    const context = marks.getContext('2d');
    const inset = (matchMedia('(pointer: coarse)').matches ? 13 : 9) * dpr; // half of the slider's thumb
    const place = (frame) => inset + (frame / Math.max(frames - 1, 1)) * (width - 2 * inset);
    const column = Math.max((width - 2 * inset) / Math.max(frames - 1, 1), 1);
    for (let t = 0; t < frames; t++) {
      const share = Math.min(map.farthest(t) / 128, 1);
      if (share < 0.01) continue;
      context.fillStyle = `rgb(255 ${70 - 30 * share} ${60 - 30 * share} / ${0.25 + 0.75 * share})`;
      context.fillRect(place(t) - column / 2, height * (1 - share), column + 0.5, height * share);
    }
    context.fillStyle = '#fff';
    for (const t of new Set(this.history.strokes().map(({ frame }) => frame))) {
      context.fillRect(Math.round(place(t) - dpr), 0, 2 * dpr, height);
    }
  }

  close() {
    this.watch.disconnect();
    cancelAnimationFrame(this.asked);
  }
}
