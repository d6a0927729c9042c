// The controls around the two pictures, bound to the clip that is being painted.

import { LEAST, MOST } from './brush.js';
import { Clock } from './clock.js';
import { watchKeys } from './keys.js';
import { paintByKeys } from './keybrush.js';
import { watchPointers } from './pointer.js';
import { showStatus } from './status.js';

export function showSession(session, state, root, finish) {
  const { brush, compare, deck, history, left, right, timeline, view, picture, signal } = session;
  const on = (element, name, handle) => element.addEventListener(name, handle, { signal });
  const announce = (text) => (root.announce.textContent = text);

  const actions = {
    brush: () => brush.set({ tool: 'brush' }),
    eraser: () => brush.set({ tool: 'eraser' }),
    hand: () => brush.set({ tool: 'hand' }),
    smaller: () => brush.grow(-1),
    larger: () => brush.grow(1),
    undo: () => !brush.live && session.undo(),
    redo: () => !brush.live && session.redo(),
    play: () => (deck.playing ? deck.pause() : deck.play()),
    back: () => deck.go(deck.frame - 1),
    on: () => deck.go(deck.frame + 1),
    farBack: () => deck.go(deck.frame - 10),
    farOn: () => deck.go(deck.frame + 10),
    first: () => deck.go(0),
    last: () => deck.go(Infinity),
    zoomIn: () => view.zoomBy(1.4, left),
    zoomOut: () => view.zoomBy(1 / 1.4, left),
    fit: () => view.fit(),
    flip: (held) => compare.set({ flipped: held }),
    wipe: () => compare.toggle('wipe'),
    side: () => compare.toggle('side'),
    other: () => compare.other(),
    edges: () => {
      picture.showEdges = !picture.showEdges;
      root.edges.setAttribute('aria-pressed', picture.showEdges);
      right.draw();
    },
    help: () => root.help.showModal(),
  };
  watchKeys(actions, signal);
  for (const name of ['undo', 'redo', 'play', 'back', 'on', 'zoomIn', 'zoomOut', 'fit', 'edges']) {
    on(root[name], 'click', () => actions[name]());
  }
  for (const button of root.tools.children) on(button, 'click', () => actions[button.value]());
  // A click leaves the focus where it was, so that the space bar goes on to play.
  for (const bar of document.querySelectorAll('.tools, .transport, .pane-bar')) {
    on(bar, 'mousedown', (event) => event.target.closest('button') && event.preventDefault());
  }

  // The ring on both sides, so that one sees in the video what one paints in the map.
  let place = null;
  const hover = (at) => {
    place = at;
    for (const stage of [left, right]) {
      const shown = brush.tool === 'hand' ? null : at;
      stage.point(shown, brush.radius * session.pixels);
      stage.element.classList.toggle('ringed', Boolean(shown));
    }
  };
  const begin = (point, tool) => {
    deck.pause();
    if (compare.mode === 'side') compare.set({ mode: 'single' }); // one paints seeing the map
    brush.begin(deck.frame, point, tool);
  };
  for (const stage of [left, right]) {
    watchPointers(stage, {
      tool: () => brush.tool, begin, hover,
      extend: (points) => brush.extend(points),
      end: () => brush.end(),
      abort: () => brush.abort(),
      resize: (steps) => brush.grow(steps),
    }, signal);
    paintByKeys(stage, { brush, clip: session.clip, begin, hover, radius: () => brush.radius * session.pixels }, signal);
  }

  const drawTools = () => {
    for (const button of root.tools.children) button.setAttribute('aria-pressed', button.value === brush.tool);
    root.size.value = (100 * Math.log(brush.radius / LEAST)) / Math.log(MOST / LEAST);
    const pixels = `${Math.round(2 * brush.radius * session.pixels)} px`;
    root.sizeValue.textContent = pixels;
    root.size.setAttribute('aria-valuetext', pixels);
    for (const tool of ['hand', 'eraser']) root.app.classList.toggle(tool, brush.tool === tool);
    hover(place);
  };
  on(brush, 'change', drawTools);
  on(root.size, 'input', () => brush.set({ radius: LEAST * (MOST / LEAST) ** (root.size.value / 100) }));
  on(brush, 'stroke', ({ detail }) => session.done(detail.item, detail.patch));

  const drawView = () => {
    root.zoom.textContent = `${Math.round(100 * view.zoom)} %`;
    hover(place);
  };
  on(view, 'change', drawView);

  const drawPlay = () => {
    root.play.querySelector('use').setAttribute('href', deck.playing ? '#i-pause' : '#i-play');
    root.play.setAttribute('aria-label', deck.playing ? 'Pause' : 'Play');
  };
  on(deck, 'playing', drawPlay);

  const drawSteps = () => {
    root.undo.disabled = !history.canUndo;
    root.redo.disabled = !history.canRedo;
    root.clear.disabled = history.strokes().length === 0;
  };
  on(session.log, 'change', drawSteps);
  on(root.clear, 'click', async () => {
    if (await ask('Clear the map?', 'All your strokes on this video are taken away. Undo brings them back.', 'Clear')) session.clear();
  });

  async function ask(title, text, yes) {
    root.askTitle.textContent = title;
    root.askText.textContent = text;
    root.ask.querySelector('[value=yes]').textContent = yes;
    root.ask.returnValue = '';
    root.ask.showModal();
    await new Promise((resolve) => root.ask.addEventListener('close', resolve, { once: true }));
    return root.ask.returnValue === 'yes';
  }

  const clock = new Clock(root.next, state.minimum_seconds - state.session.elapsed_seconds, announce);
  signal.addEventListener('abort', () => clock.close());
  on(root.next, 'click', async () => {
    if (clock.left > 0) return announce(`Please go on painting: ${clock.left} seconds are left for this video.`);
    const text = history.strokes().length
      ? 'Your map is handed in as it is. You cannot come back to this video.'
      : 'You have not painted anything yet. You cannot come back to this video.';
    if (!(await ask('Go to the next video?', text, 'Next video'))) return;
    deck.pause();
    root.next.disabled = true;
    try {
      const early = await finish(session.log.count);
      if (early) clock.set(early); // else the button is the next clip's
    } finally {
      root.next.disabled = false;
    }
  });

  showStatus(session, root, announce);
  for (const draw of [drawTools, drawView, drawPlay, drawSteps]) draw();
  timeline.draw();
  const { encode, strokes } = state.session;
  if (encode) session.encodes.resume(encode, session.log.count);
  else if (history.strokes().length) session.encodes.want();
}
