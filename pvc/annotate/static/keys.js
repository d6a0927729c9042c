// Keyboard shortcuts, and the table of them in the help.

// Each: keys as KeyboardEvent.key has them (with Ctrl+ where it is held, Cmd alike), what it does, name of the action.
const TABLE = {
  Paint: [
    [['b'], 'Brush: more important', 'brush'],
    [['e'], 'Eraser: less important', 'eraser'],
    [['h'], 'Hand: move the picture', 'hand'],
    [['['], 'Smaller brush', 'smaller', true],
    [[']'], 'Larger brush', 'larger', true],
    [['Ctrl+z'], 'Undo', 'undo', true],
    [['Ctrl+Shift+z', 'Ctrl+y'], 'Redo', 'redo', true],
  ],
  Move: [
    [[' ', 'k'], 'Play or pause', 'play'],
    [['ArrowLeft', ','], 'One frame back', 'back', true],
    [['ArrowRight', '.'], 'One frame on', 'on', true],
    [['Shift+ArrowLeft'], 'Ten frames back', 'farBack', true],
    [['Shift+ArrowRight'], 'Ten frames on', 'farOn', true],
    [['Home'], 'First frame', 'first'],
    [['End'], 'Last frame', 'last'],
    [['+', '='], 'Zoom in', 'zoomIn', true],
    [['-'], 'Zoom out', 'zoomOut', true],
    [['0'], 'Whole picture', 'fit'],
  ],
  Compare: [
    [['f'], 'Flip, while held', 'flip'],
    [['w'], 'Wipe', 'wipe'],
    [['s'], 'Side by side', 'side'],
    [['r'], 'Baseline or source', 'other'],
    [['o'], 'Edges on the map', 'edges'],
    [['?'], 'This help', 'help'],
  ],
};

const SIGNS = { ' ': 'Space', ArrowLeft: '←', ArrowRight: '→' };
const NEEDS_KEY = 'input[type=range], [role=slider]'; // they use the arrows themselves

export function watchKeys(actions, signal) {
  const known = new Map(Object.values(TABLE).flat().flatMap(([keys, , name, again]) => keys.map((key) => [key, { name, again }])));
  const find = (event) => {
    const control = event.ctrlKey || event.metaKey, letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const shift = event.shiftKey && (control || letter.length > 1);
    return known.get((control ? 'Ctrl+' : '') + (shift ? 'Shift+' : '') + letter);
  };
  const busy = ({ target, key }) =>
    document.querySelector('dialog[open]') || target.closest('input:not([type=range]), textarea, select') ||
    ([' ', 'Enter'].includes(key) && target.closest('button, a, summary')) ||
    ((key.startsWith('Arrow') || key === 'Home' || key === 'End') && target.closest(NEEDS_KEY));
  addEventListener('keydown', (event) => {
    const found = event.defaultPrevented || event.altKey || busy(event) ? null : find(event);
    if (!found || (event.repeat && !found.again)) return;
    event.preventDefault();
    actions[found.name](true);
  }, { signal });
  addEventListener('keyup', (event) => { if (event.key.toLowerCase() === 'f') actions.flip(false); }, { signal });
  addEventListener('blur', () => actions.flip(false), { signal });
}

// The table as columns of lists.
export function fillHelp(element) {
  element.replaceChildren(...Object.entries(TABLE).map(([group, rows]) => {
    const section = document.createElement('section'), title = document.createElement('h3'), list = document.createElement('dl');
    title.textContent = group;
    for (const [keys, text] of rows) {
      const term = document.createElement('dt'), what = document.createElement('dd');
      what.textContent = text;
      keys.forEach((key, k) => {
        if (k) term.append(' or ');
        key.split(/\+(?=.)/).forEach((part, n) => {
          if (n) term.append(' ');
          const cap = document.createElement('kbd');
          cap.textContent = SIGNS[part] ?? (part.length === 1 ? part.toUpperCase() : part);
          term.append(cap);
        });
      });
      list.append(term, what);
    }
    section.append(title, list);
    return section;
  }));
}
