// What the page asks the server. Errors carry the server's one line and its status (0: it was not reached).

const REFUSED = "the server could not be reached; check your connection";

async function call(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", "X-PVC": "1" },
  };
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin" });
  } catch {
    throw Object.assign(new Error(REFUSED), { status: 0 });
  }
  if (!answer.ok) {
    const { detail } = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(detail ?? `the server answered ${answer.status}`), { status: answer.status });
  }
  return answer;
}

export const state = async () => (await call("/api/state")).json();
export const join = async (worker) => (await call("/api/join", { worker })).json();
export const open = (number) => call(`/api/trials/${number}/open`, {});
export const answer = async (number, what) => (await call(`/api/trials/${number}/answer`, what)).json();

const loaded = new Map(); // by URL: promise of the whole file, so that nothing stalls while it plays

export function video(url) {
  if (!loaded.has(url)) {
    const file = call(url).then((response) => response.blob());
    loaded.set(url, file);
    file.catch(() => loaded.delete(url));
  }
  return loaded.get(url);
}

export const forget = (...urls) => urls.forEach((url) => loaded.delete(url));
