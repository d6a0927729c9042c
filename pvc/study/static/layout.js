// Where the videos go: side by side if both fit at their own size, else one after another in the same place.

const GAP = 16; // CSS pixels between two videos

// A video pixel is a whole number of screen pixels, as many as a CSS pixel has (at least one), or fewer if that does
// not fit. Only a video that is larger than the window is made smaller; the answer says by how much.
export function layout({ width, height }, room, ratio) {
  const whole = Math.max(1, Math.floor(ratio));
  for (let scale = whole; scale >= 1; scale--) {
    const [w, h] = [(width * scale) / ratio, (height * scale) / ratio];
    if (2 * w + GAP <= room.width && h <= room.height) return { name: "side-by-side", scale, width: w, height: h };
    if (scale > 1) continue;
    if (w <= room.width && h <= room.height) return { name: "in-turn", scale, width: w, height: h };
  }
  const scale = Math.min((room.width * ratio) / width, (room.height * ratio) / height);
  return { name: "in-turn", scale, width: (width * scale) / ratio, height: (height * scale) / ratio };
}
