document.body.classList.add("scripted");
const data = JSON.parse(document.getElementById("chart-data").textContent), slider = document.querySelector("[name=smoothing]");

// Curves over steps.
const drawn = [];
function add(box, spec) {
  const panel = element("div", { class: "panel" });
  box.append(panel);
  drawn.push(lineChart(panel, { resumed: data.resumed, ...spec }, () => +slider.value));
}
for (const spec of data.lines) add(document.getElementById("lines"), spec);

// Validation.
if (data.compared) {
  const { rd, bd, gains } = data.compared, box = document.getElementById("history");
  if (rd.panels.some((panel) => Object.keys(panel.curves).length)) rdChart(document.getElementById("curves"), rd);
  else document.getElementById("curves").hidden = true;
  if (bd.length) add(box, { title: "Live BD-rate (%), lower is better", log: null, smooth: false, series: bd });
  if (gains.length) add(box, { title: "Gain at the same rate (dB), higher is better", log: null, smooth: false, series: gains });
}

// Pictures: one step is shown.
const choices = [...document.querySelectorAll("#pictures button")], pictures = [...document.querySelectorAll(".drawn")];
choices.forEach((button, chosen) => {
  button.onclick = () => choices.forEach((other, i) => {
    other.setAttribute("aria-pressed", i === chosen);
    pictures[i].toggleAttribute("data-later", i !== chosen);
  });
});

// What was chosen outlives loading the page again.
const STORE = `pvc ${location.pathname}`, fields = [...document.querySelectorAll("select, input")];
const pressed = () => [...document.querySelectorAll("[aria-pressed]")].filter((button) => !button.closest("#pictures"));
const called = (button) => button.dataset.keep || `${button.closest("[id]")?.id}: ${button.textContent}`;
function store(use) {
  try { return use(sessionStorage); } catch { return null; }  // a browser may refuse it
}
function keep() {
  const state = { fields: {}, pressed: {}, y: scrollY, open: [...document.querySelectorAll("details")].map((d) => d.open) };
  for (const field of fields) state.fields[field.name] = field.value;
  for (const button of pressed()) state.pressed[called(button)] = button.getAttribute("aria-pressed");
  store((storage) => storage.setItem(STORE, JSON.stringify(state)));
}
function restore() {
  const state = JSON.parse(store((storage) => storage.getItem(STORE)) || "null");
  if (!state) return;
  for (const field of fields) {
    const before = state.fields[field.name];
    if (before === undefined || (field.options && ![...field.options].some((option) => option.value === before))) continue;
    field.value = before;
    field.onchange?.();
  }
  for (const button of pressed()) {
    const before = state.pressed[called(button)];
    if (before !== undefined && before !== button.getAttribute("aria-pressed")) button.click();
  }
  document.querySelectorAll("details").forEach((d, i) => { d.open = state.open[i]; });
  scrollTo(0, state.y);
}
if (slider) {
  slider.oninput = () => {
    document.querySelector("output").textContent = slider.value;
    drawn.forEach((draw) => draw());
  };
}
// Charts draw, and legends get their buttons, when their size is first observed.
requestAnimationFrame(() => requestAnimationFrame(() => { restore(); slider?.oninput(); document.body.dataset.ready = true; }));

// While the run goes on the page loads itself again, but not under the pointer of someone who reads a value.
const { going, every, written } = document.body.dataset, period = 1000 * Math.max(2, +every);
function age() {
  const seconds = Math.max(0, Date.now() / 1000 - written), silent = seconds > Math.max(300, 10 * every);
  if (going !== "true") return;
  document.querySelector(".age").textContent = seconds < 90 ? `, ${Math.round(seconds)} s ago` : `, ${Math.round(seconds / 60)} min ago`;
  if (!silent) return;
  const state = document.querySelector(".state");
  state.textContent = "silent";
  state.className = "state silent";
  state.title = "nothing was written for a while: a long validation, or the process is gone";
}
function again() {
  if (document.querySelector(".tip:not([hidden])") || document.activeElement?.tagName === "SELECT") return setTimeout(again, 1000);
  keep();
  location.reload();
}
age();
setInterval(age, 1000);
if (going === "true") setTimeout(again, period);
