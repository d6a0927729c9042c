// Requests to the server: what failed for now is told apart from what was refused, and is tried again.

export class Refused extends Error {
  constructor(status, body) {
    super(body?.detail ?? `the server answered ${status}`);
    Object.assign(this, { status, body });
  }
}

class Unreachable extends Error {}

// Events 'lost' (detail: why) and 'back'.
export const connection = new EventTarget();
let lost = false;

function tell(reason) {
  if (!reason && !lost) return;
  lost = Boolean(reason);
  connection.dispatchEvent(new CustomEvent(lost ? 'lost' : 'back', { detail: reason }));
}

const later = (status) => status >= 500 || status === 408 || status === 429;

async function once(path, { body, headers, timeout = 30, signal, ...rest } = {}) {
  const limits = [AbortSignal.timeout(1000 * timeout), ...(signal ? [signal] : [])];
  let response;
  try {
    response = await fetch(path, { body, headers: { 'X-PVC': '1', ...headers }, signal: AbortSignal.any(limits), ...rest });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable('No connection to the server');
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  if (later(response.status)) throw new Unreachable(answer?.detail ?? `The server answered ${response.status}`);
  throw new Refused(response.status, answer);
}

// A request until it is answered, with longer and longer pauses; `read` takes what is wanted out of the response.
export async function request(path, options = {}, read = (response) => response.json()) {
  for (let pause = 500; ; pause = Math.min(2 * pause, 10000)) {
    try {
      const found = await read(await once(path, options)).catch((error) => {
        if (error instanceof Refused || options.signal?.aborted) throw error;
        throw new Unreachable('The connection broke off'); // in the middle of a body
      });
      tell(null);
      return found;
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      tell(error.message);
      await rest(pause * (0.75 + Math.random() / 2), options.signal);
    }
  }
}

export const post = (path, value, options) => request(path, {
  method: 'POST', body: JSON.stringify(value), headers: { 'Content-Type': 'application/json' }, ...options,
});

// Bytes, compressed on the way.
export async function postBytes(path, bytes, options) {
  const packed = await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'))).blob();
  const headers = { 'Content-Type': 'application/octet-stream', 'Content-Encoding': 'gzip' };
  return request(path, { method: 'POST', body: packed, headers, timeout: 120, ...options });
}

// A file in memory; progress(share) is called as it comes, where its size is known.
export function download(path, { progress, ...options } = {}) {
  return request(path, { timeout: 600, ...options }, async (response) => {
    const size = Number(response.headers.get('Content-Length')), parts = [];
    let got = 0;
    for await (const part of chunks(response.body)) {
      parts.push(part);
      got += part.length;
      if (size && progress) progress(Math.min(got / size, 1));
    }
    return new Blob(parts, { type: response.headers.get('Content-Type') ?? '' });
  });
}

async function* chunks(stream) { // ReadableStream is not iterable in every browser
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

// Wait; the network's return ends it early.
function rest(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener('online', over);
      signal?.removeEventListener('abort', over);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(over, milliseconds);
    addEventListener('online', over);
    signal?.addEventListener('abort', over);
  });
}
