// The short guide: cards, shown by itself the first time.

const SEEN = 'pvc-guide-seen';

export function makeGuide(dialog) {
  const cards = [...dialog.querySelectorAll('.guide-card')];
  const back = dialog.querySelector('[value=back]'), next = dialog.querySelector('[value=next]'), dots = dialog.querySelector('.dots');
  let at = 0;
  dots.replaceChildren(...cards.map(() => document.createElement('i')));

  function show(k) {
    at = k;
    cards.forEach((card, n) => (card.hidden = n !== at));
    [...dots.children].forEach((dot, n) => dot.classList.toggle('on', n === at));
    back.style.visibility = at ? 'visible' : 'hidden';
    next.textContent = at === cards.length - 1 ? 'Start painting' : 'Next';
    dialog.setAttribute('aria-labelledby', cards[at].querySelector('h2').id);
  }

  back.addEventListener('click', () => show(at - 1));
  next.addEventListener('click', () => (at < cards.length - 1 ? show(at + 1) : dialog.close()));
  dialog.addEventListener('close', () => remember());
  const open = () => {
    show(0);
    dialog.showModal();
    next.focus();
  };
  return { open, first: () => seen() || open() };
}

function seen() {
  try {
    return localStorage.getItem(SEEN) !== null;
  } catch {
    return false;
  }
}

function remember() {
  try {
    localStorage.setItem(SEEN, '1');
  } catch { /* then it comes again */ }
}
