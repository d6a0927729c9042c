document.body.classList.add("scripted");

// Tables: one of several choices is shown.
for (const group of document.querySelectorAll(".group")) {
  const select = group.querySelector(".choose");
  if (select) select.onchange = () => only(group.querySelectorAll(".choice"), select.selectedIndex);
}

function only(elements, index) {
  elements.forEach((element, i) => element.toggleAttribute("data-later", i !== index));
}

// Curves.
const curves = document.getElementById("curves"), chartData = JSON.parse(document.getElementById("chart-data").textContent);
if (chartData.panels.length) rdChart(curves, chartData);
else curves.hidden = true;

// Pictures: as they are, their difference to the reference, or two under one wipe.
function viewer(bar) {
  const scenes = [...document.querySelectorAll(".scene")], sceneChoice = bar.querySelector("[name=scene]");
  const gainChoice = bar.querySelector("[name=gain]");
  let mode = "decoded";

  function current() { return scenes[sceneChoice ? sceneChoice.selectedIndex : 0]; }

  function pixels(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  async function difference(scene) {
    const images = [...scene.querySelectorAll("figure img")], gain = +gainChoice.value;
    await Promise.all(images.map((image) => image.decode()));
    const reference = pixels(images[0]).data;
    for (const image of images.slice(1)) {
      const other = pixels(image), bytes = other.data;
      for (let i = 0; i < bytes.length; i++) if (i % 4 !== 3) bytes[i] = gain * Math.abs(bytes[i] - reference[i]);  // clamps at 255
      let canvas = image.parentElement.querySelector("canvas");
      if (!canvas) image.after(canvas = document.createElement("canvas"));
      canvas.width = other.width;
      canvas.height = other.height;
      canvas.getContext("2d").putImageData(other, 0, 0);
      canvas.hidden = mode !== "difference";
    }
  }

  const stages = scenes.map((scene) => {
    const stage = scene.querySelector(".stage"), canvas = stage.querySelector("canvas"), context = canvas.getContext("2d");
    const images = [...scene.querySelectorAll("figure img")], split = stage.querySelector("[name=split]");
    const [left, right, flicker] = ["left", "right", "flicker"].map((n) => stage.querySelector(`[name=${n}]`));
    const [leftTag, rightTag] = stage.querySelectorAll(".tag");
    let timer = null, second = false;
    for (const select of [left, right]) images.forEach((image, i) => select.add(new Option(image.alt, i)));
    right.value = images.length - 1;

    async function paint() {
      const [a, b] = [images[left.value], images[right.value]];
      await Promise.all([a.decode(), b.decode()]);
      const at = flicker.checked ? (second ? 0 : canvas.width) : Math.round(canvas.width * split.value / 1000);
      context.drawImage(b, 0, 0, canvas.width, canvas.height);
      if (at > 0) context.drawImage(a, 0, 0, at, canvas.height, 0, 0, at, canvas.height);
      context.fillStyle = "#fff";
      if (!flicker.checked) context.fillRect(at - 1, 0, 2, canvas.height);
      leftTag.textContent = a.alt;
      rightTag.textContent = b.alt;
      leftTag.hidden = at === 0;
      rightTag.hidden = at === canvas.width;
    }

    function blink() {
      clearInterval(timer);
      split.disabled = flicker.checked;
      if (flicker.checked) timer = setInterval(() => { second = !second; if (!stage.hidden && !scene.hasAttribute("data-later")) paint(); }, 500);
      paint();
    }

    function wipe(event) {
      const area = canvas.getBoundingClientRect();
      split.value = 1000 * (event.clientX - area.left) / area.width;
      paint();
    }

    canvas.onpointermove = canvas.onpointerdown = wipe;
    left.onchange = right.onchange = split.oninput = paint;
    flicker.onchange = blink;
    return { stage, paint };
  });

  function update() {
    only(scenes, scenes.indexOf(current()));
    document.body.classList.toggle("difference", mode === "difference");
    document.body.classList.toggle("compare", mode === "compare");
    bar.querySelector(".for-outline").hidden = !current().querySelector(".outline");
    for (const button of bar.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    for (const canvas of document.querySelectorAll("figure canvas")) canvas.hidden = mode !== "difference";
    stages.forEach(({ stage }) => { stage.hidden = mode !== "compare"; });
    if (mode === "difference") difference(current());
    if (mode === "compare") stages[scenes.indexOf(current())].paint();
  }

  for (const button of bar.querySelectorAll("[data-mode]")) button.onclick = () => { mode = button.dataset.mode; update(); };
  if (sceneChoice) sceneChoice.onchange = update;
  gainChoice.onchange = update;
  bar.querySelector("[name=outlined]").onchange = (event) => document.body.classList.toggle("outlined", event.target.checked);
  bar.querySelector("[name=full]").onchange = (event) =>
    document.querySelectorAll(".views").forEach((views) => views.classList.toggle("full", event.target.checked));
  update();
}

if (document.getElementById("viewer")) viewer(document.getElementById("viewer"));
