// What the two sides show: the encode and the map, or the encode against the baseline or the source.

const NAMES = { baseline: 'Baseline', source: 'Source' };

export class Compare extends EventTarget {
  // deck: the films. map: a MapPicture. root: the document's parts by id.
  constructor(deck, map, root, signal) {
    super();
    Object.assign(this, { deck, map, root, mode: 'single', against: 'baseline', flipped: false, share: 0.5 });
    const on = (element, name, handle) => element.addEventListener(name, handle, { signal });
    this.modes = [...root.modes.children].filter((button) => button.value);
    for (const button of this.modes) on(button, 'click', () => this.toggle(button.value));
    for (const button of root.against.children) on(button, 'click', () => this.set({ against: button.value }));
    const flip = (flipped) => () => this.set({ flipped });
    on(root.flip, 'pointerdown', flip(true));
    for (const name of ['pointerup', 'pointercancel', 'pointerleave', 'blur', 'keyup']) on(root.flip, name, flip(false));
    on(root.flip, 'keydown', ({ key }) => [' ', 'Enter'].includes(key) && this.set({ flipped: true }));
    on(root.flip, 'contextmenu', (event) => event.preventDefault());
    on(root.wipe, 'pointerdown', (event) => root.wipe.setPointerCapture(event.pointerId));
    on(root.wipe, 'pointermove', (event) => root.wipe.hasPointerCapture(event.pointerId) && this.drag(event));
    on(root.wipe, 'keydown', (event) => this.key(event));
    this.set({});
  }

  set(values) {
    Object.assign(this, values);
    const { root, mode, against, flipped } = this, other = NAMES[against];
    for (const button of this.modes) button.setAttribute('aria-pressed', button.value === mode);
    for (const button of root.against.children) button.setAttribute('aria-pressed', button.value === against);
    root.flip.setAttribute('aria-pressed', flipped);
    root.wipe.hidden = mode !== 'wipe';
    root.wipe.style.left = `${100 * this.share}%`;
    root.wipe.setAttribute('aria-valuenow', Math.round(100 * this.share));
    root.leftTitle.textContent = flipped ? other : 'Your encode';
    root.left.classList.toggle('flipped', flipped);
    root.rightTitle.textContent = mode === 'side' ? other : 'Importance map';
    root.edges.hidden = mode === 'side';
    root.legend.style.visibility = mode === 'side' ? 'hidden' : 'visible';
    root.tagLeft.hidden = root.tagRight.hidden = mode !== 'wipe';
    root.tagRight.textContent = other;
    this.dispatchEvent(new Event('change'));
  }

  toggle(mode) { this.set({ mode: this.mode === mode ? 'single' : mode }); }
  other() { this.set({ against: this.against === 'baseline' ? 'source' : 'baseline' }); }

  drag(event) {
    const box = this.root.wipe.parentElement.getBoundingClientRect();
    this.set({ share: Math.min(Math.max((event.clientX - box.x) / box.width, 0), 1) });
  }

  key(event) {
    const way = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    this.set({ share: Math.min(Math.max(this.share + way, 0), 1) });
  }

  paintLeft(context, stage) {
    const { encoded, [this.against]: other } = this.deck.films;
    this.film(context, this.flipped ? other : encoded);
    if (this.mode !== 'wipe' || this.flipped) return;
    const { scale, left } = stage.place(), x = (this.share * stage.width - left) / scale;
    context.save();
    context.beginPath();
    context.rect(x, 0, this.deck.clip.width - x, this.deck.clip.height);
    if (x < this.deck.clip.width) {
      context.clip();
      this.film(context, other);
    }
    context.restore();
  }

  paintRight(context) {
    if (this.mode === 'side') this.film(context, this.deck.films[this.against]);
    else this.map.paint(context, this.deck.frame);
  }

  film(context, film) {
    if (film && film.shown >= 0) context.drawImage(film.picture ?? film.video, 0, 0, this.deck.clip.width, this.deck.clip.height);
  }
}
