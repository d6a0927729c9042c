// Mouse, pen and fingers over a stage, told apart into strokes, pan and zoom.
//
// One finger or the pen or the left button paints; two fingers pan and zoom, as do the wheel with Ctrl, the middle
// button and the hand. Where a pen was seen, fingers only pan: a palm paints nothing.

const YOUNG = 250; // ms in which a second finger turns a stroke into a pinch

export function watchPointers(stage, { tool, begin, extend, end, abort, hover, resize }, signal) {
  const { element, view } = stage;
  const touches = new Map();
  let stroke = null, pan = null, pen = false;
  const on = (name, handle, options) => element.addEventListener(name, handle, { signal, ...options });

  const point = (event) => {
    const [x, y] = stage.clip(event.clientX, event.clientY);
    return { x, y, time: event.timeStamp, pressure: event.pointerType === 'pen' ? event.pressure : 1 };
  };

  function down(event) {
    if (event.target.closest('button, [role="slider"]')) return;
    document.activeElement?.blur(); // arrows then step through the frames
    element.setPointerCapture(event.pointerId);
    pen ||= event.pointerType === 'pen';
    if (event.pointerType === 'touch') {
      touches.set(event.pointerId, event);
      if (touches.size > 1) {
        if (stroke && event.timeStamp - stroke.since < YOUNG) cancel();
        return;
      }
    }
    const moves = event.button === 1 || tool() === 'hand' || (pen && event.pointerType === 'touch');
    if (moves) pan = event;
    else if (event.button === 0 || event.button === 5) start(event);
  }

  function start(event) {
    if (stroke) return;
    event.preventDefault();
    stroke = { id: event.pointerId, since: event.timeStamp };
    begin(point(event), event.button === 5 || event.buttons & 32 ? 'eraser' : tool()); // the pen's other end
  }

  function move(event) {
    if (event.pointerType === 'touch' && touches.has(event.pointerId)) {
      if (touches.size === 2 && !stroke) pinch(event);
      else if (pan?.pointerId === event.pointerId) drag(event);
      touches.set(event.pointerId, event);
    } else if (pan?.pointerId === event.pointerId) drag(event);
    if (stroke?.id === event.pointerId) {
      const parts = event.getCoalescedEvents?.() ?? [];
      extend((parts.length ? parts : [event]).map(point));
    }
    if (event.pointerType !== 'touch' || stroke) hover(stage.clip(event.clientX, event.clientY));
  }

  function drag(event) {
    view.panBy(event.clientX - pan.clientX, event.clientY - pan.clientY, stage);
    pan = event;
  }

  function pinch(event) {
    const before = touches.get(event.pointerId);
    const [other] = [...touches.values()].filter((touch) => touch.pointerId !== event.pointerId);
    const apart = (touch) => Math.hypot(touch.clientX - other.clientX, touch.clientY - other.clientY);
    const box = stage.canvas.getBoundingClientRect();
    view.panBy((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2, stage);
    const [x, y] = [(event.clientX + other.clientX) / 2 - box.x, (event.clientY + other.clientY) / 2 - box.y];
    view.zoomBy(apart(event) / Math.max(apart(before), 1), stage, x, y);
  }

  function up(event) {
    touches.delete(event.pointerId);
    if (pan?.pointerId === event.pointerId) pan = null;
    if (stroke?.id === event.pointerId) {
      stroke = null;
      end();
      if (event.pointerType === 'touch') hover(null);
    }
  }

  function cancel() {
    if (!stroke) return;
    stroke = null;
    abort();
    hover(null);
  }

  function wheel(event) {
    const box = stage.canvas.getBoundingClientRect(), way = event.deltaY || event.deltaX; // Shift turns the wheel sideways
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      view.zoomBy(Math.exp(-event.deltaY * 0.004), stage, event.clientX - box.x, event.clientY - box.y);
    } else if (event.shiftKey || event.altKey) resize(way < 0 ? 1 : -1);
    else view.panBy(-event.deltaX, -event.deltaY, stage);
  }

  on('pointerdown', down);
  on('pointermove', move);
  on('pointerup', up);
  on('pointercancel', (event) => {
    touches.delete(event.pointerId);
    if (stroke?.id === event.pointerId) cancel();
    if (pan?.pointerId === event.pointerId) pan = null;
  });
  on('pointerleave', (event) => { if (!stroke && event.pointerType !== 'touch') hover(null); });
  on('mousedown', (event) => event.target.closest('button, [role="slider"]') || event.preventDefault());
  on('wheel', wheel, { passive: false });
  on('contextmenu', (event) => event.preventDefault());
  addEventListener('keydown', (event) => { if (event.key === 'Escape') cancel(); }, { signal });
}
