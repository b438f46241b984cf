// The denoising viewer: one position of the slider for each pass, and a last one for the result.
const data = JSON.parse(document.getElementById("data").textContent);
const [pass, seed, least, masks] = ["pass", "seed", "least", "masks"].map((id) => document.getElementById(id));
const figures = Object.fromEntries(["in", "out", "found"].map((id) => [id, document.getElementById(id)]));
const RAMP = [[56, 189, 248], [168, 85, 247], [255, 45, 149]]; // of scores 0, 0.5 and 1
let timer = null;

const draw = () => data.draws[Number(seed.value)];
const name = (label) => data.classNames[label];
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const several = (count) => (count === 1 ? "box" : "boxes");

function colorOf(score) {
  const place = Math.min(score, 0.9999) * 2, [from, to] = RAMP.slice(Math.floor(place), Math.floor(place) + 2);
  return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * (place % 1))).join(" ")})`;
}

// The SVG's unit is a pixel of the image, so that texts are not distorted.
function rectOf([x, y, w, h], color) {
  const [sx, sy] = [data.width / 1000, data.height / 1000];
  return svgElement("rect", { x: x * sx, y: y * sy, width: Math.max(w * sx, 0.5), height: Math.max(h * sy, 0.5), stroke: color });
}

function caption(figure, title, text) {
  const bold = document.createElement("b");
  bold.textContent = title;
  figure.querySelector("figcaption").replaceChildren(bold, text);
}

function point(query) {
  for (const rect of document.querySelectorAll(".near")) rect.classList.remove("near");
  const shown = draw().passes[Number(pass.value)];
  if (query === null || !shown) return;
  for (const rect of document.querySelectorAll(`[data-query="${query}"]`)) rect.classList.add("near");
  document.getElementById("hovered").textContent = `Box ${query}: ${name(shown.classes[query])} with score ${shown.scores[query].toFixed(2)}` +
    (shown.renewed && shown.renewed[query] ? "; drawn anew before the next pass" : "");
}

// Draws the boxes of a pass into a figure, the best on top.
function drawBoxes(figure, boxes, scores, renewed) {
  const svg = figure.querySelector("svg");
  svg.setAttribute("viewBox", `0 0 ${data.width} ${data.height}`);
  const order = boxes.map((_, query) => query).filter((query) => scores[query] >= Number(least.value)).sort((a, b) => scores[a] - scores[b]);
  svg.replaceChildren(...order.map((query) => {
    const rect = rectOf(boxes[query], colorOf(scores[query]));
    rect.dataset.query = query;
    if (renewed && renewed[query]) rect.classList.add("renewed");
    rect.onmouseenter = () => point(query);
    rect.onmouseleave = () => point(null);
    return rect;
  }));
  return order.length;
}

function drawFound(found) {
  const svg = figures.found.querySelector("svg"), size = Math.max(data.width, data.height) / 26;
  svg.setAttribute("viewBox", `0 0 ${data.width} ${data.height}`);
  svg.replaceChildren();
  for (const [x, y, w, h, label, score] of [...found.boxes].reverse()) {
    const color = data.colors[label % data.colors.length], rect = rectOf([x, y, w, h], color);
    rect.style.strokeWidth = 2.5;
    const top = (y * data.height) / 1000;
    const text = svgElement("text", { x: Math.max((x * data.width) / 1000, 2), y: top < size ? top + size : top - size / 5, "font-size": size, stroke: color, "stroke-width": size / 3.5 }, `${name(label)} ${score.toFixed(2)}`);
    svg.append(rect, text);
  }
  const picture = figures.found.querySelector(".masks");
  picture.hidden = !found.masks || !masks || !masks.checked;
  if (found.masks) picture.src = found.masks;
}

function show() {
  const index = Number(pass.value), { passes, result } = draw(), last = index === passes.length;
  const step = passes[Math.min(index, passes.length - 1)];
  document.getElementById("where").textContent = last ? "result" : `${index + 1} of ${passes.length}`;
  document.getElementById("least-value").textContent = Number(least.value).toFixed(2);
  figures.in.hidden = figures.out.hidden = last;
  if (!last) {
    // A box that was drawn anew before this pass is dashed where it goes in.
    const anew = index ? passes[index - 1].renewed : step.scores.map(() => 1);
    const same = anew && anew.length === step.in.length ? anew : null;
    const count = same ? same.filter(Boolean).length : 0;
    const shown = drawBoxes(figures.in, step.in, step.scores, same);
    drawBoxes(figures.out, step.out, step.scores, null);
    const start = index ? (same ? `${count} of ${step.in.length} ${several(step.in.length)} drawn anew, the others come from the pass before.` : "Boxes from the pass before.") : "All boxes are noise.";
    caption(figures.in, `Pass ${index + 1}: boxes that go in`, `${start} Their colour is the score that they will get.`);
    caption(figures.out, `Pass ${index + 1}: boxes that come out`, `${shown} of ${step.in.length} ${several(step.in.length)} shown, at time t = ${step.t}.`);
  }
  const found = last ? result : step.found;
  drawFound(found);
  caption(figures.found, last ? "Result: all passes pooled" : `What pass ${index + 1} alone detects`, `${plural(found.boxes.length, "detection")} from the score threshold of ${found.boxes.length === 1 ? "its class" : "their class"} on.`);
  document.querySelector(".panels").style.gridTemplateColumns = last ? "minmax(0, 560px)" : "";
  fillTable(index);
}

function fillTable(index) {
  const { passes, result } = draw();
  const rows = passes.map((step, i) => [i + 1, step.t, step.scores.filter((score) => score >= 0.5).length, Math.max(...step.scores).toFixed(2),
    i === passes.length - 1 ? "–" : step.renewed.filter(Boolean).length, step.found.boxes.length]);
  rows.push(["result", "", "", "", "", result.boxes.length]);
  document.querySelector("#table tbody").replaceChildren(...rows.map((cells, i) => {
    const row = document.createElement("tr");
    row.className = i === index ? "now" : "";
    row.append(...cells.map((value) => Object.assign(document.createElement("td"), { textContent: value })));
    row.onclick = () => { pass.value = i; show(); };
    return row;
  }));
}

function play() {
  const button = document.getElementById("play");
  if (timer) {
    clearInterval(timer);
    timer = null;
  } else {
    if (Number(pass.value) === Number(pass.max)) pass.value = 0;
    timer = setInterval(() => {
      if (Number(pass.value) >= Number(pass.max)) return play();
      pass.value = Number(pass.value) + 1;
      show();
    }, 1200);
  }
  button.textContent = timer ? "❚❚ pause" : "▶ play";
  show();
}

for (const image of document.querySelectorAll(".stage img:not(.masks)")) image.src = data.picture;
for (const control of [pass, seed, least, masks]) if (control) control.oninput = show;
document.getElementById("play").onclick = play;
show();
