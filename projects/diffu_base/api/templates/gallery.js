// The images of a report: cards that are made as the reader scrolls, filters, and the enlarged image.
const MISSED = data.kinds.length;
const KINDS = [...data.kinds, data.missed]; // each { name, color, help }; the first is right, the last of objects
const byId = new Map(data.images.map((image) => [image.id, image]));
const chosen = new Set(); // numbers of the kinds of error that are asked for
const gallery = document.getElementById("gallery");
const large = document.getElementById("large");
let matching = [], made = 0, position = 0;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const className = (index) => (index < 0 ? "?" : data.classNames[index]);

function boxOf([x, y, w, h], color, label, { dashed = false, dim = false, below = false, title = "" } = {}) {
  const classes = { dashed, dim, below, high: y < 80 };
  const box = element("div", ["box", ...Object.keys(classes).filter((name) => classes[name])].join(" "));
  Object.assign(box.style, { left: `${x / 10}%`, top: `${y / 10}%`, width: `${w / 10}%`, height: `${h / 10}%`, borderColor: color });
  const plate = element("span", "", label);
  plate.style.background = color;
  box.append(plate);
  box.title = title || label;
  return box;
}

function panelOf(image, boxes) {
  const panel = element("div", "panel");
  panel.style.aspectRatio = `${image.width} / ${image.height}`;
  if (image.thumbnail) {
    const picture = element("img");
    Object.assign(picture, { loading: "lazy", decoding: "async", alt: image.file, src: image.thumbnail });
    panel.append(picture);
  } else panel.append(element("div", "gone", "The image file could not be read."));
  panel.append(...boxes);
  return panel;
}

const kindOfObject = (found) => (found === 1 ? 0 : found === 0 ? MISSED : MISSED - 1);

// Whether a box is what the reader asks for by kind of error and by class.
function asked(kind, index) {
  const ofClass = document.getElementById("image-class").value;
  return (!chosen.size || chosen.has(kind)) && (ofClass === "" || Number(ofClass) === index);
}

function pairOf(image) {
  const pair = element("div", "pair"), [left, right] = [element("div"), element("div")];
  const objects = image.objects.map(([x, y, w, h, index, found]) => {
    const kind = kindOfObject(found);
    return boxOf([x, y, w, h], KINDS[kind].color, className(index), { dashed: kind === MISSED, dim: !asked(kind, index), title: `${className(index)}: ${KINDS[kind].name}` });
  });
  const detections = image.detections.map(([x, y, w, h, index, score, kind]) =>
    boxOf([x, y, w, h], KINDS[kind].color, `${className(index)} ${score.toFixed(2)}`, { dim: !asked(kind, index), title: `${className(index)}, score ${score.toFixed(2)}: ${KINDS[kind].name}` })).reverse();
  left.append(panelOf(image, objects), element("small", "", `ground truth: ${objects.length} ${objects.length === 1 ? "object" : "objects"}`));
  right.append(panelOf(image, detections), element("small", "", `detections: ${detections.length}`));
  pair.append(left, right);
  return pair;
}

function countsOf(image) {
  const counts = new Array(KINDS.length).fill(0);
  for (const detection of image.detections) counts[detection[6]]++;
  counts[MISSED] = image.objects.filter((object) => object[5] === 0).length;
  return counts;
}

function cardOf(image) {
  const card = element("article", "card"), head = element("div", "name");
  head.append(element("b", "", image.file), element("span", "", `F1 ${image.f1.toFixed(2)}`));
  const counts = countsOf(image);
  const errors = KINDS.map((kind, i) => (i && i !== MISSED - 1 && counts[i] ? `${counts[i]} × ${kind.name}` : "")).filter(Boolean);
  card.append(head, pairOf(image), element("div", "note", errors.join(", ") || "no error"));
  return card;
}

function show(index) {
  if (index < 0 || index >= matching.length) return;
  position = index;
  large.lastElementChild.replaceChildren(cardOf(matching[position]));
  if (!large.open) large.showModal();
}

function more() {
  for (const end = Math.min(made + 24, matching.length); made < end; made++) {
    const index = made, card = cardOf(matching[index]);
    card.onclick = () => show(index);
    gallery.append(card);
  }
}

function matches(image) {
  const name = document.getElementById("file-name").value.toLowerCase();
  if (name && !image.file.toLowerCase().includes(name)) return false;
  const everything = !chosen.size && document.getElementById("image-class").value === "";
  return everything || image.detections.some((detection) => asked(detection[6], detection[4])) ||
    image.objects.some((object) => asked(kindOfObject(object[5]), object[4]));
}

function filter() {
  const order = document.getElementById("order").value;
  matching = data.images.filter(matches); // they come worst first
  if (order === "best") matching.reverse();
  if (order === "file") matching.sort((a, b) => a.file.localeCompare(b.file));
  document.getElementById("matching").textContent = `${matching.length} of ${data.images.length} images`;
  gallery.replaceChildren();
  made = 0;
  more();
  observer.unobserve(end);
  observer.observe(end);
}

function suspectCard(suspect) {
  const image = byId.get(suspect.image), card = element("article", "card one");
  const object = image.objects.find((each) => each[6] === suspect.annotation);
  const boxes = object ? [boxOf(object, "#5d6878", suspect.labelled, { dashed: true, below: true })] : [];
  const label = `${suspect.says} ${suspect.score.toFixed(2)}`;
  boxes.push(boxOf(suspect.box, "#2f5fd0", label));
  const said = suspect.labelled === null ? `no object is annotated; the model sees ${suspect.says}` : `labelled ${suspect.labelled}; the model sees ${suspect.says}`;
  const head = element("div", "name");
  head.append(element("b", "", image.file), element("span", "", suspect.score.toFixed(2)));
  card.append(head, panelOf(image, boxes), element("small", "", said));
  card.onclick = () => { large.lastElementChild.replaceChildren(cardOf(image)); large.showModal(); };
  return card;
}

const listed = data.suspects.filter((suspect) => byId.has(suspect.image));
function moreSuspects() {
  const target = document.getElementById("suspects");
  if (!target) return;
  const from = target.children.length;
  target.append(...listed.slice(from, from + 12).map(suspectCard));
  document.getElementById("more-suspects").hidden = target.children.length >= listed.length;
}

const totals = data.images.map(countsOf).reduce((sum, counts) => sum.map((value, i) => value + counts[i]), new Array(KINDS.length).fill(0));
KINDS.forEach((kind, number) => {
  if (number === MISSED - 1 && !totals[number]) return;
  const chip = element("button", "chip"), swatch = element("i", "swatch");
  swatch.style.borderColor = kind.color;
  if (number === MISSED) swatch.style.borderStyle = "dashed";
  chip.append(swatch, `${kind.name} (${totals[number].toLocaleString("en")})`);
  chip.title = kind.help;
  chip.dataset.kind = number;
  chip.setAttribute("aria-pressed", "false");
  chip.onclick = () => {
    if (!chosen.delete(number)) chosen.add(number);
    chip.setAttribute("aria-pressed", String(chosen.has(number)));
    filter();
  };
  document.getElementById("kinds").append(chip);
});
for (const id of ["image-class", "order"]) document.getElementById(id).onchange = filter;
document.getElementById("file-name").oninput = filter;
document.getElementById("previous").onclick = () => show(position - 1);
document.getElementById("next").onclick = () => show(position + 1);
document.getElementById("close").onclick = () => large.close();
large.onclick = (event) => { if (event.target === large) large.close(); };
document.addEventListener("keydown", (event) => {
  if (large.open && event.key === "ArrowLeft") show(position - 1);
  if (large.open && event.key === "ArrowRight") show(position + 1);
});
if (document.getElementById("more-suspects")) document.getElementById("more-suspects").onclick = moreSuspects;
// An observer tells of changes only, so it begins anew after each batch: the end may still be in sight.
const end = document.getElementById("end");
const observer = new IntersectionObserver(([entry]) => {
  if (!entry.isIntersecting || made >= matching.length) return;
  more();
  observer.unobserve(end);
  observer.observe(end);
}, { rootMargin: "800px" });
moreSuspects();
filter();
