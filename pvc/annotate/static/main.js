// The page from joining to the completion code: one clip after the other.

import { minutes } from './clock.js';
import { makeGuide } from './guide.js';
import { fillHelp } from './keys.js';
import { Refused, connection, post, postBytes } from './net.js';
import { parts } from './parts.js';
import { showSession } from './page.js';
import { openSession } from './session.js';
import { alone } from './tab.js';

const root = parts(document);
const guide = makeGuide(root.guide);
let current = null;
fillHelp(root.shortcuts);
root.openGuide.addEventListener('click', () => guide.open());
root.openHelp.addEventListener('click', () => root.help.showModal());
connection.addEventListener('lost', ({ detail }) => notice(`${detail}. What you paint is kept here and sent when it is back.`));
connection.addEventListener('back', () => notice(null));
addEventListener('unhandledrejection', ({ reason }) => broken(reason));
addEventListener('error', ({ error }) => error && broken(error));

function notice(text) {
  root.notice.hidden = !text;
  root.notice.firstElementChild.textContent = text ?? '';
}

// The card in place of the page: loading, the end, or what went wrong.
function between(title, text = '', { code, action, progress } = {}) {
  root.app.hidden = true;
  root.between.hidden = false;
  root.betweenTitle.textContent = title;
  root.betweenText.textContent = text;
  root.betweenProgress.hidden = progress === undefined;
  root.betweenProgress.value = progress ?? 0;
  root.code.hidden = !code;
  root.code.querySelector('code').textContent = code ?? '';
  root.betweenActions.hidden = !action;
  if (action) {
    const button = root.betweenActions.querySelector('button');
    button.textContent = action.text;
    button.onclick = action.run;
    button.focus();
  }
}

function broken(error) {
  if (error?.name === 'AbortError') return; // of a clip that is closed
  console.error(error);
  const text = `${error?.message ?? error}. Load the page again to go on from what is saved.`;
  between('Something went wrong', text, { action: { text: 'Load again', run: () => location.reload() } });
}

root.code.querySelector('button').addEventListener('click', async ({ target }) => {
  await navigator.clipboard?.writeText(root.code.querySelector('code').textContent).catch(() => {});
  target.textContent = 'Copied';
});

async function open(state) {
  if (state.done || !state.session) return end(state);
  const { done, total } = state.clips, of = `Video ${Math.min(done + 1, total)} of ${total}`;
  root.clipOf.textContent = of;
  root.guideFrames.textContent = state.session.clip.propagate.frames;
  root.guideTime.textContent = `${minutes(Math.round(state.minimum_seconds))} minutes`;
  between(of, 'Loading the video and its motion.', { progress: 0 });
  const session = (current = await openSession(state, root, (share) => (root.betweenProgress.value = share)));
  root.between.hidden = true;
  root.app.hidden = false;
  showSession(session, state, root, (strokes) => finish(session, strokes));
  guide.first();
}

function end(state) {
  if (state.clips.total === 0) return between('Nothing to paint', 'There are no videos here yet.');
  between('Thank you', state.code ? 'That was the last video. This code shows that you are done:' : 'That was the last video. You can close this page.', { code: state.code });
}

// Returns seconds that are left when it is too early.
async function finish(session, strokes) {
  await session.log.until(strokes);
  try {
    const state = await postBytes(`/api/sessions/${session.id}/finish?strokes=${strokes}`, session.map.bytes());
    session.close();
    await open(state);
    return 0;
  } catch (error) {
    if (error instanceof Refused && error.status === 409 && error.body.seconds_left) return error.body.seconds_left;
    throw error;
  }
}

const given = new URLSearchParams(location.search);
const worker = ['worker', 'workerId', 'PROLIFIC_PID'].map((name) => given.get(name)).find(Boolean) ?? null;

await alone(() => {
  current?.close();
  between('Open in another tab', 'This page is open twice, and what you paint in two tabs would get mixed up.',
    { action: { text: 'Continue here', run: () => location.reload() } });
});
between('Welcome', 'One moment.', { progress: 0 });
await open(await post('/api/join', { worker }));
