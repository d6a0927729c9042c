// The stroke log on its way to the server: in order, numbered, again until it is stored, and kept here until then.

import { Refused, post, request } from './net.js';

export class Log extends EventTarget {
  // Events 'change' (saved or not) and 'refused' (detail: the error).
  constructor(session) {
    super();
    this.url = `/api/sessions/${session}/strokes`;
    this.key = `pvc-strokes-${session}`;
    this.stored = 0; // items that the server has
    this.pending = []; // items after those
    this.waiting = [];
    this.stop = new AbortController();
  }

  // All items: what the server has, and what did not reach it before the page was closed.
  async load() {
    const items = await request(this.url, { signal: this.stop.signal }, async (r) => itemsOf(await r.json()));
    this.stored = items.length;
    const kept = JSON.parse(localStorage.getItem(this.key) ?? 'null');
    if (kept && kept.first <= this.stored + 1) this.pending = kept.items.slice(this.stored + 1 - kept.first);
    const all = [...items, ...this.pending];
    this.keep();
    this.send();
    return all;
  }

  get count() { return this.stored + this.pending.length; }
  get saved() { return this.pending.length === 0 && !this.refused; }

  push(item) {
    this.pending.push(item);
    this.keep();
    this.send();
  }

  // When the first `count` items are stored.
  until(count) {
    return new Promise((resolve) => {
      this.waiting.push({ count, resolve });
      this.wake();
    });
  }

  wake() {
    for (const { resolve } of this.waiting.filter(({ count }) => count <= this.stored)) resolve();
    this.waiting = this.waiting.filter(({ count }) => count > this.stored);
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.pending.length) {
        const first = this.stored + 1, items = this.pending.slice(0, 50);
        const { stored } = await post(this.url, { first, items }, { signal: this.stop.signal });
        this.pending.splice(0, stored - this.stored);
        this.stored = stored;
        this.keep();
        this.wake();
      }
    } catch (error) {
      if (error instanceof Refused) {
        // It would be refused again: the next page goes on from what is stored.
        this.refused = true;
        this.pending = [];
        this.keep();
        this.dispatchEvent(new CustomEvent('refused', { detail: error }));
      } else if (!this.stop.signal.aborted) throw error;
    } finally {
      this.sending = false;
    }
  }

  keep() {
    try {
      if (this.pending.length === 0) localStorage.removeItem(this.key);
      else localStorage.setItem(this.key, JSON.stringify({ first: this.stored + 1, items: this.pending }));
    } catch { /* no room or not allowed: then what is not sent lives as long as the page */ }
    this.dispatchEvent(new Event('change'));
  }

  close() { this.stop.abort(); }
}

const itemsOf = (answer) => answer.items ?? answer;
