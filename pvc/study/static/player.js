// Two videos that run in step, again and again, and the count of how often each was seen to its end.

const SLOWER = 0.85; // rate of the one that is ahead

export class Player {
  // `change` is called whenever something that the page shows may have changed.
  constructor(left, right, change) {
    this.videos = { left, right };
    this.change = change;
    this.inTurn = false;
    for (const video of [left, right]) video.addEventListener("ended", () => this.#ended());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#hold();
      else if (this.wanted) this.play();
    });
    setInterval(() => this.#keepInStep(), 100);
  }

  // Puts two files in, from their start, and plays them.
  async load(blobs, frame) {
    this.unload();
    this.frame = frame;
    this.plays = { left: 0, right: 0 };
    this.restarts = 0;
    this.shown = "left";
    this.ready = this.broken = this.chosen = false;
    await Promise.all(Object.entries(this.videos).map(([side, video]) => new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = () => reject(new Error("this browser cannot play the video; try another one"));
      video.src = URL.createObjectURL(blobs[side]);
    })));
    this.ready = true;
    await this.#fromStart();
  }

  unload() {
    this.ready = this.wanted = false;
    for (const video of Object.values(this.videos)) {
      video.onerror = null;
      video.pause();
      if (video.src) URL.revokeObjectURL(video.src);
      video.removeAttribute("src");
    }
  }

  get seen() {
    return this.plays.left > 0 && this.plays.right > 0;
  }

  get part() { // of the run that is under way, 0 to 1
    const { currentTime, duration } = this.videos[this.shown];
    return duration ? currentTime / duration : 0;
  }

  async play() {
    if (!this.ready) return;
    this.wanted = true;
    if (document.hidden) return;
    const both = Object.values(this.videos);
    if (both.every((video) => video.ended)) return this.#fromStart();
    try {
      await Promise.all(both.filter((video) => !video.ended).map((video) => video.play()));
    } catch (error) {
      if (error.name !== "AbortError") this.wanted = false; // the browser wants a click first
    }
    this.change();
  }

  pause() {
    this.wanted = false;
    this.#hold();
    this.change();
  }

  restart() {
    if (!this.ready) return;
    this.restarts++;
    this.broken = false;
    return this.#fromStart();
  }

  // One after another: shows this video at the place where the other one is.
  show(side) {
    if (side === this.shown || !this.seen) return;
    this.shown = side;
    this.chosen = true; // from now on it stays where it is put
    this.broken = true; // neither is seen whole in this run
    this.change();
  }

  setInTurn(inTurn) {
    if (inTurn === this.inTurn) return;
    this.inTurn = inTurn;
    this.broken = true;
    this.change();
  }

  #hold() {
    for (const video of Object.values(this.videos)) video.pause();
  }

  #ended() {
    if (!this.ready || !Object.values(this.videos).every((video) => video.ended)) return;
    if (!this.broken) {
      for (const side of this.inTurn ? [this.shown] : ["left", "right"]) this.plays[side]++;
      if (this.inTurn && !this.chosen) this.shown = this.plays.right < this.plays.left ? "right" : "left";
    }
    this.broken = false;
    this.change();
    this.#fromStart();
  }

  async #fromStart() {
    this.#hold();
    const run = (this.run = (this.run ?? 0) + 1);
    await Promise.all(Object.values(this.videos).map((video) => new Promise((resolve) => {
      video.playbackRate = 1;
      if (video.currentTime === 0 && !video.ended) return resolve();
      video.addEventListener("seeked", resolve, { once: true });
      video.currentTime = 0;
    })));
    if (this.ready && run === this.run) await this.play();
  }

  #keepInStep() {
    if (!this.ready) return;
    const { left, right } = this.videos;
    const ahead = left.currentTime - right.currentTime;
    const far = Math.abs(ahead) > (left.playbackRate === right.playbackRate ? 1 : 0.25) * this.frame;
    left.playbackRate = far && ahead > 0 ? SLOWER : 1;
    right.playbackRate = far && ahead < 0 ? SLOWER : 1;
  }
}
