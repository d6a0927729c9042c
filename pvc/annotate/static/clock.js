// 'Next video' waits for the minimum time.

export class Clock {
  constructor(button, left, announce) {
    Object.assign(this, { button, announce });
    this.set(left);
  }

  // Seconds that are left.
  set(left) {
    this.end = performance.now() + 1000 * left;
    this.open = undefined;
    clearInterval(this.timer);
    this.timer = setInterval(() => this.show(), 250);
    this.show();
  }

  get left() { return Math.max(Math.ceil((this.end - performance.now()) / 1000), 0); }

  show() {
    const { left } = this, open = left === 0;
    this.button.querySelector('.label').textContent = open ? 'Next video' : `Next video in ${minutes(left)}`;
    if (open === this.open) return;
    if (open && this.open === false) this.announce('You can go on to the next video, or keep painting.');
    this.open = open;
    this.button.setAttribute('aria-disabled', !open); // not disabled: it can be reached and says why
    if (open) clearInterval(this.timer);
  }

  close() { clearInterval(this.timer); }
}

export const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
