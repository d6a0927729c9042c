// Re-encoding after strokes: the newest map is what counts, older encodes are given up.

import { Refused, download, postBytes, request } from './net.js';

const CALM = 350; // ms without a stroke before an encode is asked for

export class Encodes extends EventTarget {
  // Events 'state' (detail: what the server says, or null when nothing is wanted) and 'video' (detail: {blob, facts}).
  constructor(session, log, map) {
    super();
    Object.assign(this, { url: `/api/sessions/${session}/encodes`, log, map, state: null });
  }

  // The map has changed: encode it soon.
  want() {
    clearTimeout(this.timer);
    this.tell({ state: 'asking' });
    this.timer = setTimeout(() => this.start(), CALM);
  }

  async start() {
    const mine = this.follow(), strokes = this.log.count, bytes = this.map.bytes();
    await this.guard(mine, async () => {
      await this.log.until(strokes);
      if (mine.signal.aborted) return;
      const { encode } = await postBytes(`${this.url}?strokes=${strokes}`, bytes, { signal: mine.signal });
      await this.watch(encode, mine);
    });
  }

  // Take up an encode that was asked for before the page was loaded.
  async resume(encode, strokes) {
    const mine = this.follow();
    await this.guard(mine, async () => {
      const end = await this.watch(encode, mine);
      if (end?.state === 'cancelled' || (end?.state === 'done' && end.strokes !== strokes)) this.want();
    });
  }

  follow() {
    this.newest?.abort();
    return (this.newest = new AbortController());
  }

  async guard(mine, work) {
    try {
      await work();
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      this.tell({ state: 'failed', error: error.message });
    }
  }

  async watch(encode, { signal }) {
    const url = `${this.url}/${encode}`;
    let facts = { version: -1 };
    for (;;) {
      const wait = `?seen=${facts.version}&wait=20`;
      facts = await request(url + wait, { signal, timeout: 40 });
      if (facts.state === 'done') break;
      this.tell(facts);
      if (facts.state === 'failed' || facts.state === 'cancelled') return facts;
    }
    const blob = await download(`${url}/video.mp4`, { signal });
    this.tell(facts);
    this.dispatchEvent(new CustomEvent('video', { detail: { blob, facts } }));
    return facts;
  }

  tell(facts) {
    this.state = facts;
    this.dispatchEvent(new CustomEvent('state', { detail: facts }));
  }

  close() {
    clearTimeout(this.timer);
    this.newest?.abort();
  }
}
