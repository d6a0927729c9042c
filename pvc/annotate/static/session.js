// One clip being painted: its files, its map, its films and what belongs to them, from opening to closing.

import { Brush } from './brush.js';
import { Compare } from './compare.js';
import { Deck } from './deck.js';
import { Encodes } from './encodes.js';
import { Carrier, Flow } from './flow.js';
import { History } from './history.js';
import { PaintedMap } from './map.js';
import { download } from './net.js';
import { Edges, MapPicture } from './picture.js';
import { Stage } from './stage.js';
import { Log } from './sync.js';
import { Timeline } from './timeline.js';
import { View } from './view.js';

// state: what the server says. root: the document's parts by id. progress(share): of what is loaded.
export async function openSession(state, root, progress) {
  const { clip, id, elapsed_seconds: elapsed } = state.session, files = `/api/sessions/${id}/clip`;
  const stop = new AbortController(), { signal } = stop, shares = [0, 0];
  const load = (name, k) => download(`${files}/${name}`, {
    signal,
    progress: (share) => {
      shares[k] = share;
      progress?.((shares[0] + shares[1]) / 2);
    },
  });
  const log = new Log(id);
  const [flow, baseline, items] = await Promise.all([load('flow.bin', 0), load('baseline.mp4', 1), log.load()]);

  const map = new PaintedMap(new Carrier(new Flow(await flow.arrayBuffer()), clip.frames, clip.propagate));
  const history = new History(map);
  history.restore(items);

  const deck = new Deck(clip), view = new View(clip.width, clip.height);
  const edges = new Edges((n) => `${files}/edges/${n}.png`, clip.frames, (n) => n === deck.frame && right.draw());
  const picture = new MapPicture(map, clip, edges);
  const compare = new Compare(deck, picture, root, signal);
  const left = new Stage(root.leftStage, view, (context, stage) => compare.paintLeft(context, stage));
  const right = new Stage(root.rightStage, view, (context) => compare.paintRight(context));
  const opened = performance.now() - 1000 * elapsed;
  const cell = { width: clip.width / clip.map.width, height: clip.height / clip.map.height };
  const brush = new Brush(map, state.brush, cell, () => performance.now() - opened);
  const encodes = new Encodes(id, log, map);
  const timeline = new Timeline(root, deck, map, history, signal);

  const both = () => { left.draw(); right.draw(); };
  for (const source of [deck, view, compare]) {
    for (const name of ['frame', 'picture', 'change']) source.addEventListener(name, both, { signal });
  }
  brush.addEventListener('painted', () => { right.draw(); timeline.draw(); }, { signal });

  await Promise.all([deck.put('encoded', baseline), deck.put('baseline', baseline)]);
  // Looked at later; painting need not wait for it.
  load('source.mp4', 1).then((blob) => deck.put('source', blob)).catch((error) => signal.aborted || Promise.reject(error));

  // Write down what was done, and encode what came of it.
  function done(item, patch) {
    history.push(item, patch);
    log.push(item);
    encodes.want();
    right.draw();
    timeline.draw();
  }
  const act = (kind) => done({ kind, t_ms: Math.round(performance.now() - opened) });

  return {
    id, clip, log, map, history, deck, view, compare, picture, left, right, brush, encodes, timeline, signal, done,
    pixels: cell.width, // clip pixels in a cell
    undo: () => history.canUndo && act('undo'),
    redo: () => history.canRedo && act('redo'),
    clear: () => history.strokes().length && act('clear'),
    close() {
      stop.abort();
      for (const part of [log, encodes, deck, edges, left, right, timeline]) part.close();
    },
  };
}
