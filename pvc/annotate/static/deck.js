// The films of a clip (the encode, the baseline, the source), kept in step with one frame number.

import { Film } from './film.js';

export class Deck extends EventTarget {
  // Events 'frame' (another frame is meant), 'picture' (a film shows another one), 'playing'.
  constructor(clip) {
    super();
    Object.assign(this, { clip, films: {}, frame: 0, playing: false });
  }

  // Show another file as `name`; the one before stays until the new one shows the same frame.
  async put(name, blob) {
    const film = new Film(blob, this.clip, () => this.appeared(film));
    this.coming = { ...this.coming, [name]: film };
    try {
      await film.ready;
      if (this.playing) await film.play((this.frame + 2) % this.clip.frames);
      else await film.show(this.frame);
    } catch (error) {
      film.close();
      throw error;
    }
    if (this.coming[name] !== film || this.closed) return film.close(); // a newer one has come
    const old = this.films[name];
    this.films[name] = film;
    old?.close();
    if (name === 'encoded') film.video.addEventListener('ended', () => this.playing && this.play(0));
    if (!this.playing) film.pause();
    this.align();
    this.dispatchEvent(new Event('picture'));
  }

  appeared(film) {
    if (this.playing && film === this.films.encoded) {
      this.meant(film.shown);
      this.follow();
    }
    this.dispatchEvent(new Event('picture'));
  }

  // While playing, the other films are led to the encode's frame by small changes of their speed.
  follow() {
    for (const film of Object.values(this.films)) {
      if (film === this.films.encoded) continue;
      const ahead = film.shown - this.frame;
      if (Math.abs(ahead) > 12 || !film.playing) {
        if (!film.chasing) film.play(Math.min(this.frame + 2, this.clip.frames - 1));
      } else film.video.playbackRate = ahead === 0 ? 1 : 1 - Math.sign(ahead) * Math.min(0.1 * Math.abs(ahead), 0.5);
    }
  }

  meant(frame) {
    if (frame === this.frame) return;
    this.frame = frame;
    this.dispatchEvent(new Event('frame'));
  }

  // Go to a frame and stay there.
  go(frame) {
    this.pause();
    this.meant(Math.min(Math.max(Math.round(frame), 0), this.clip.frames - 1));
    return this.align();
  }

  // Where nothing plays, every film shows the frame that is meant.
  align() {
    if (this.playing) return Promise.resolve();
    return Promise.all(Object.values(this.films).map((film) => film.show(this.frame)));
  }

  async play(from = this.frame === this.clip.frames - 1 ? 0 : this.frame) {
    this.playing = true;
    this.dispatchEvent(new Event('playing'));
    await Promise.all(Object.values(this.films).map((film) => film.show(from)));
    if (this.playing) for (const film of Object.values(this.films)) film.play(from);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    for (const film of Object.values(this.films)) {
      film.pause();
      film.video.playbackRate = 1;
    }
    this.dispatchEvent(new Event('playing'));
    this.align();
  }

  close() {
    this.closed = true;
    this.playing = false;
    for (const film of [...Object.values(this.films), ...Object.values(this.coming ?? {})]) film.close();
  }
}
