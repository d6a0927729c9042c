// Which part of the clip is seen, the same on both sides: zoom and pan.

const MOST = 12;

export class View extends EventTarget {
  constructor(width, height) {
    super();
    Object.assign(this, { width, height, zoom: 1, x: width / 2, y: height / 2 }); // x, y: clip pixel in the middle
  }

  // Scale and offset from clip pixels to the pixels of a stage.
  place(stageWidth, stageHeight) {
    const scale = Math.min(stageWidth / this.width, stageHeight / this.height) * this.zoom;
    return { scale, left: stageWidth / 2 - this.x * scale, top: stageHeight / 2 - this.y * scale };
  }

  // Zoom by a factor about a place of a stage, which stays where it is.
  zoomBy(factor, stage, px = stage.width / 2, py = stage.height / 2) {
    const before = this.place(stage.width, stage.height);
    const x = (px - before.left) / before.scale, y = (py - before.top) / before.scale;
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), MOST);
    const { scale } = this.place(stage.width, stage.height);
    this.look(x - (px - stage.width / 2) / scale, y - (py - stage.height / 2) / scale, stage);
  }

  panBy(dx, dy, stage) {
    const { scale } = this.place(stage.width, stage.height);
    this.look(this.x - dx / scale, this.y - dy / scale, stage);
  }

  // Put a clip pixel into the middle; where the clip fits, it is centred.
  look(x, y, stage) {
    const { scale } = this.place(stage.width, stage.height);
    const within = (value, size, room) => (size <= room ? size / 2 : Math.min(Math.max(value, room / 2), size - room / 2));
    this.x = within(x, this.width, stage.width / scale);
    this.y = within(y, this.height, stage.height / scale);
    this.dispatchEvent(new Event('change'));
  }

  fit() {
    Object.assign(this, { zoom: 1, x: this.width / 2, y: this.height / 2 });
    this.dispatchEvent(new Event('change'));
  }
}
