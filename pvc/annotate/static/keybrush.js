// Painting by the keyboard: arrows move the ring over a picture that was reached by Tab, Enter paints a dab.

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function paintByKeys(stage, { brush, clip, begin, hover, radius }, signal) {
  const { element } = stage;
  let at = [clip.width / 2, clip.height / 2];
  const on = (name, handle) => element.addEventListener(name, handle, { signal });
  const point = () => ({ x: at[0], y: at[1], time: performance.now(), pressure: 1 });

  on('focus', () => element.matches(':focus-visible') && hover(at));
  on('blur', () => hover(null));
  on('keydown', (event) => {
    if (event.target !== element || event.ctrlKey || event.metaKey) return;
    const way = WAYS[event.key];
    if (way) {
      const step = event.shiftKey ? 2 * radius() : radius() / 4;
      at = [clip.width, clip.height].map((size, k) => Math.min(Math.max(at[k] + way[k] * step, 0), size));
      hover(at);
    } else if (event.key === 'Enter' && brush.tool !== 'hand') {
      begin(point(), brush.tool);
      brush.end();
    } else return;
    event.preventDefault();
  });
}
