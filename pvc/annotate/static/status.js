// What is said in passing: saved or not, how far the encode is, and its figures.

export function showStatus({ log, encodes, clip, deck, signal }, root, announce) {
  const saved = () => {
    const text = log.saved ? 'Saved' : log.refused ? 'Not saved' : 'Saving…';
    root.saved.lastElementChild.textContent = text;
    root.saved.classList.toggle('saving', text === 'Saving…');
    root.saved.classList.toggle('not-saved', text === 'Not saved');
  };
  log.addEventListener('change', saved, { signal });
  log.addEventListener('refused', ({ detail }) => Promise.reject(detail), { signal });
  addEventListener('beforeunload', (event) => log.pending.length && event.preventDefault(), { signal });
  saved();

  const figures = (facts) => {
    const gain = (name, value) => (value === null || value === undefined ? [] : [span(`${name} ${signed(value)} dB`, value > 0 ? 'more' : '')]);
    const { psnr } = clip.baseline;
    root.figures.replaceChildren(
      span(`${facts.kbps.toFixed(1)} kbit/s · ${facts.psnr.toFixed(2)} dB`, 'now'),
      ...gain('where redder', facts.gain_painted), ...gain('elsewhere', facts.gain_elsewhere),
      span(`baseline ${psnr.toFixed(2)} dB`, 'baseline'),
    );
  };
  figures(clip.baseline);

  const [bar, text, again] = root.encoding.children;
  root.encoding.hidden = true; // what the clip before this one left
  delete root.left.dataset.strokes;
  encodes.addEventListener('state', ({ detail: facts }) => {
    const words = {
      asking: () => 'Sending the map…',
      queued: () => (facts.ahead ? `Waiting, ${facts.ahead} before you` : 'Waiting for a free encoder'),
      running: () => 'Encoding…',
      failed: () => `Could not encode: ${facts.error}`,
    }[facts.state];
    root.encoding.hidden = !words;
    root.encoding.classList.toggle('bad', facts.state === 'failed');
    again.hidden = facts.state !== 'failed';
    bar.hidden = facts.state === 'failed';
    if (!words) return;
    text.textContent = words();
    if (facts.state === 'running') bar.value = facts.fraction ?? 0;
    else bar.removeAttribute('value');
  }, { signal });
  again.addEventListener('click', () => encodes.want(), { signal });
  encodes.addEventListener('video', async ({ detail: { blob, facts } }) => {
    await deck.put('encoded', blob);
    root.left.dataset.strokes = facts.strokes;
    figures(facts);
    announce(`Encoded: ${facts.kbps.toFixed(0)} kilobits a second, ${facts.psnr.toFixed(1)} decibels.`);
  }, { signal });
}

function span(text, name) {
  return Object.assign(document.createElement('span'), { textContent: text, className: name });
}

const signed = (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`;
