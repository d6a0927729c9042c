// The page of a study: welcome, one pair after another, the completion code.

import * as api from "./api.js";
import { layout } from "./layout.js";
import { Player } from "./player.js";

const $ = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const worker = new URLSearchParams(location.search).get("worker") || null;
const SIDES = ["left", "right"];
const WORDS = { "side-by-side": { left: "Left", right: "Right" }, "in-turn": { left: "First", right: "Second" } };

let trial = null; // the server's word on the pair
let choice = null;
let fitted = null; // layout
let sending = false;
let begun = 0; // when the pair was first on the screen
let retry = null;

const player = new Player(...all("#stage video"), () => draw());

function screen(name) {
  for (const id of ["welcome", "trial", "done"]) $(`#${id}`).hidden = id !== name;
}

// Runs `work`; what it fails with is said, and can be tried again.
async function attempt(work) {
  $("#notice").hidden = true;
  try {
    await work();
  } catch (error) {
    retry = work;
    $("#notice span").textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
    $("#again").hidden = error.status === 409 || error.status === 422;
    $("#notice").hidden = false;
  }
}

async function arrive() {
  const found = await api.state();
  document.title = found.question;
  for (const place of all("[data-question]")) place.textContent = found.question;
  // Another worker's link at the same computer: somebody new.
  if (found.participant === null || (worker !== null && found.worker !== worker)) {
    $("#pairs").textContent = found.total;
    $("#minutes").textContent = found.minutes === 1 ? "a minute" : `${found.minutes} minutes`;
    screen("welcome");
  } else {
    await show(found);
  }
}

async function start() {
  await api.join(worker);
  const found = await api.state();
  if (found.participant === null) throw new Error("your browser keeps no cookies, which this page needs");
  await show(found);
}

async function show(found) {
  trial = null;
  player.unload();
  if (found.trial === null) {
    $("#code output").textContent = found.code;
    $("#copy").hidden = !navigator.clipboard; // there is none without TLS
    screen("done");
    $("#done h1").focus();
    return;
  }
  choice = null;
  screen("trial");
  $("#where").textContent = `Pair ${found.trial.number} of ${found.total}`;
  $("#progress").max = found.total;
  $("#progress").value = found.done;
  say("Loading …");
  buttons(false);
  fit(found.trial);
  const [left, right] = await Promise.all(SIDES.map((side) => api.video(found.trial[side])));
  await api.open(found.trial.number);
  trial = found.trial;
  begun = performance.now();
  await player.load({ left, right }, trial.frame);
  fit(trial);
  draw();
  $("#trial h1").focus({ preventScroll: true });
  for (const url of found.next) api.video(url).catch(() => {}); // ahead; asked for again when its turn comes
}

function fit(pair) {
  const bars = ["header", "#status", ".choice", "footer"].map((part) => $(`#trial ${part}`));
  const touch = $("#next").offsetHeight; // as high as the switch, which is not always there
  const used = bars.reduce((sum, part) => sum + part.offsetHeight + 10, touch + 34);
  const room = { width: document.documentElement.clientWidth - 32, height: Math.max(innerHeight - used, 90) };
  fitted = layout(pair, room, devicePixelRatio);
  for (const video of all("#stage video")) {
    video.style.width = `${fitted.width}px`;
    video.style.height = `${fitted.height}px`;
  }
  $("#trial").classList.toggle("in-turn", fitted.name === "in-turn");
  player.setInTurn(fitted.name === "in-turn");
}

function buttons(able) {
  for (const button of all(".choice")) button.disabled = !able;
  for (const button of all("#switch button")) button.disabled = !able;
  $("#next").disabled = !able || choice === null || sending;
}

function draw() {
  if (trial === null) return;
  const words = WORDS[fitted.name];
  for (const side of SIDES) {
    const button = $(`[data-choose=${side}]`);
    button.replaceChildren(`${words[side]} looks better `, key(side === "left" ? "←" : "→"));
    button.setAttribute("aria-pressed", choice === side);
    const video = $(`[data-side=${side}] video`);
    video.setAttribute("aria-label", `${words[side].toLowerCase()} video`);
    video.classList.toggle("away", fitted.name === "in-turn" && player.shown !== side);
    $(`[data-show=${side}]`).setAttribute("aria-pressed", player.shown === side);
  }
  buttons(player.seen);
  $("#pause span").textContent = player.wanted ? "Pause" : "Play";
  if (!player.seen) {
    say(fitted.name === "side-by-side" ? "Watch both to the end first"
      : `Watch both to the end first: this is the ${words[player.shown].toLowerCase()} one`);
  } else if (choice === null) {
    say("Choose one");
  } else {
    say(`You chose ${words[choice].toLowerCase()}. Go on, or change it`);
  }
}

function key(text) {
  const shown = document.createElement("kbd");
  shown.textContent = text;
  return shown;
}

function say(text) {
  if ($("#status").textContent !== text) $("#status").textContent = text;
}

function choose(side) {
  if (trial === null || !player.seen || sending) return;
  choice = side;
  draw();
}

async function send() {
  if (trial === null || choice === null || !player.seen || sending) return;
  sending = true;
  draw();
  try {
    const found = await api.answer(trial.number, {
      choice,
      plays_left: player.plays.left,
      plays_right: player.plays.right,
      restarts: player.restarts,
      layout: fitted.name,
      scale: fitted.scale,
      seconds: (performance.now() - begun) / 1000,
    });
    api.forget(trial.left, trial.right);
    sending = false;
    await show(found);
  } finally {
    sending = false;
    draw();
  }
}

$("#start").onclick = () => attempt(start);
$("#again").onclick = () => attempt(retry);
$("#next").onclick = () => attempt(send);
$("#pause").onclick = () => (player.wanted ? player.pause() : player.play());
$("#restart").onclick = () => player.restart();
$("#copy").onclick = async () => {
  await navigator.clipboard.writeText($("#code output").textContent);
  $("#copy").textContent = "Copied";
};
for (const button of all("[data-choose]")) button.onclick = () => choose(button.dataset.choose);
for (const button of all("[data-show]")) button.onclick = () => player.show(button.dataset.show);

addEventListener("keydown", (event) => {
  if (trial === null || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  // A button that has the focus takes these keys itself.
  const focused = event.target.closest("button");
  const does = {
    ArrowLeft: () => choose("left"),
    ArrowRight: () => choose("right"),
    1: () => player.show("left"),
    2: () => player.show("right"),
    r: () => player.restart(),
    " ": focused ? null : () => $("#pause").click(),
    Enter: focused && focused.id !== "next" && !focused.matches(".choice") ? null : () => attempt(send),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does) return;
  event.preventDefault();
  does();
});
addEventListener("resize", () => trial && (fit(trial), draw()));

attempt(arrive);
