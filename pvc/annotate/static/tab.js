// One tab paints at a time: two would write the same numbers into one log.

// Resolves in the tab that has the page to itself; the one that had it before is told by taken().
export function alone(taken) {
  if (!navigator.locks) return Promise.resolve(); // only over https and on this machine
  return new Promise((resolve) => {
    const hold = () => { resolve(); return new Promise(() => {}); };
    navigator.locks.request('pvc-annotate', { steal: true }, hold).catch(taken);
  });
}
