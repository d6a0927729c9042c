// One video, exact to the frame: it is told which frame to show, and knows which one it shows.

export class Film {
  // blob: the file. clip: {fps: [num, den], frames}. changed(film) is called for each frame that appears.
  constructor(blob, clip, changed) {
    this.fps = clip.fps[0] / clip.fps[1];
    this.frames = clip.frames;
    this.changed = changed;
    this.shown = -1;
    this.wanted = 0;
    this.url = URL.createObjectURL(blob);
    const video = (this.video = document.createElement('video'));
    Object.assign(video, { muted: true, playsInline: true, preload: 'auto', src: this.url });
    // Some browsers decode only what is in the document.
    video.className = 'decoder';
    video.setAttribute('aria-hidden', 'true');
    video.tabIndex = -1;
    document.body.append(video);
    this.ready = new Promise((resolve, reject) => {
      video.addEventListener('loadeddata', resolve, { once: true });
      video.addEventListener('error', () => reject(new Error('This browser cannot play the video')), { once: true });
    });
    this.listen();
  }

  listen() {
    const { video } = this;
    const tick = (_now, { mediaTime }) => {
      if (this.closed) return;
      video.requestVideoFrameCallback(tick);
      this.take();
      const own = this.picture?.timestamp ?? 0; // in microseconds; Firefox gives whole seconds
      this.appeared(Math.round((own >= 1000 ? own / 1e6 : mediaTime) * this.fps));
    };
    video.requestVideoFrameCallback(tick);
  }

  // Keep the picture itself: a busy browser may show the next one before this one is drawn.
  take() {
    let picture = null;
    try {
      picture = globalThis.VideoFrame ? new VideoFrame(this.video) : null;
    } catch { /* a seek has begun: the video itself is drawn */ }
    this.picture?.close();
    this.picture = picture;
  }

  appeared(frame) {
    this.shown = Math.min(Math.max(frame, 0), this.frames - 1);
    this.arrived?.();
    this.changed(this);
  }

  get playing() { return !this.video.paused; }

  // Show a frame. Of several that are asked for in a row only the last is waited for.
  show(frame) {
    this.wanted = frame;
    this.chasing ??= this.chase().finally(() => (this.chasing = null));
    return this.chasing;
  }

  async chase() {
    await this.ready;
    for (let tries = 0; this.shown !== this.wanted && !this.closed && tries < 5; tries++) {
      const frame = this.wanted, seeked = event(this.video, 'seeked');
      const there = new Promise((resolve) => (this.arrived = () => this.shown === frame && resolve()));
      this.video.currentTime = (frame + 0.5) / this.fps; // the middle: no rounding leads to a neighbour
      await Promise.race([there, seeked.then(() => pause(400))]);
      // In a window that is not visible frames do not appear; then what was asked for is taken to be there.
      if (document.hidden && !this.closed) {
        this.take();
        this.appeared(frame);
      }
      if (frame !== this.wanted) tries = 0;
    }
    this.arrived = null;
  }

  // Play from a frame on.
  async play(frame) {
    await this.show(frame);
    if (!this.closed) await this.video.play().catch(() => {}); // pause() right after play() refuses it
  }

  pause() { this.video.pause(); }

  close() {
    this.closed = true;
    this.video.pause();
    this.picture?.close();
    this.picture = null;
    this.video.removeAttribute('src');
    this.video.remove();
    URL.revokeObjectURL(this.url);
  }
}

const event = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
