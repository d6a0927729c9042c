// The log of what was done, and what of it counts after undo, redo and clear.

import { Stroke } from './paint.js';

const KEPT = 48 << 20; // bytes of what strokes changed that are held for undo; older ones are painted anew

export class History {
  constructor(map) {
    this.map = map;
    this.items = []; // the log; item n has number n + 1
    this.actions = []; // {item, patch}: strokes and clears that count
    this.undone = [];
  }

  get canUndo() { return this.actions.length > 0; }
  get canRedo() { return this.undone.length > 0; }

  // The strokes that the map is made of.
  strokes() {
    const cleared = this.actions.findLastIndex(({ item }) => item.kind === 'clear');
    return this.actions.slice(cleared + 1).map(({ item }) => item);
  }

  // Do what an item says. patch: of a stroke that is on the map already.
  push(item, patch = null) {
    this.items.push(item);
    if (item.kind === 'undo') this.undo();
    else if (item.kind === 'redo') this.redo();
    else {
      this.undone = [];
      this.act(item, patch);
    }
  }

  // Take over a log; its strokes are painted once.
  restore(items) {
    Object.assign(this, { items: [...items], actions: [], undone: [] });
    for (const item of items) {
      if (item.kind === 'undo') move(this.actions, this.undone);
      else if (item.kind === 'redo') move(this.undone, this.actions);
      else {
        this.actions.push({ item, patch: null });
        this.undone = [];
      }
    }
    this.rebuild();
  }

  act(item, patch) {
    if (item.kind === 'clear') this.map.clear();
    else patch ??= this.map.add(this.stroke(item));
    this.actions.push({ item, patch });
    this.trim();
  }

  undo() {
    const action = move(this.actions, this.undone);
    if (!action) return;
    if (action.patch) this.map.revert(action.patch);
    else this.rebuild();
    action.patch = null;
  }

  redo() {
    const action = this.undone.pop();
    if (action) this.act(action.item, null);
  }

  rebuild() {
    this.map.clear();
    const cleared = this.actions.findLastIndex(({ item }) => item.kind === 'clear');
    for (const action of this.actions.slice(cleared + 1)) action.patch = this.map.add(this.stroke(action.item));
    this.trim();
  }

  stroke(item) {
    return new Stroke(item, this.map.carrier.width, this.map.carrier.height);
  }

  // Forget the oldest patches. One that is forgotten comes back by rebuild().
  trim() {
    let bytes = 0;
    for (const action of this.actions.toReversed()) {
      bytes += (action.patch ?? []).reduce((sum, { before }) => sum + before.byteLength, 0);
      if (bytes > KEPT) action.patch = null;
    }
  }
}

function move(from, to) {
  const action = from.pop();
  if (action) to.push(action);
  return action;
}
