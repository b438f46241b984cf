// The numbers of a report: tasks, sortable tables, curves.
const data = JSON.parse(document.getElementById("data").textContent);
const COLORS = ["#2f5fd0", "#e07a1f", "#2b9a66"];
let task = data.tasks[0].key;
let curveClass = 0; // 0 is all classes together

const numbers = () => data.tasks.find((each) => each.key === task).numbers;

function drawCurves() {
  const { pr, f1, classes, threshold } = numbers();
  const prFigure = document.getElementById("pr"), f1Figure = document.getElementById("f1");
  const prAxes = axes(prFigure, "recall", "precision");
  const names = Object.keys(pr);
  names.forEach((name, i) => line(prAxes, pr[name][curveClass].map((value, k, all) => [k / (all.length - 1), value]), COLORS[i]));
  legend(prFigure, names.map((name, i) => [name, COLORS[i]]));
  const f1Axes = axes(f1Figure, "score threshold", "F1");
  const points = f1[curveClass].map((value, k, all) => [k / (all.length - 1), value]);
  line(f1Axes, points, COLORS[0]);
  const best = curveClass ? classes[curveClass - 1].threshold : threshold;
  if (best === null) return;
  const height = curveClass ? classes[curveClass - 1].f1 : Math.max(...f1[0]);
  const { svg, x, y } = f1Axes;
  svg.append(svgElement("line", { x1: x(best), x2: x(best), y1: y(0), y2: y(height), stroke: COLORS[1], "stroke-dasharray": "4 3" }));
  svg.append(svgElement("circle", { cx: x(best), cy: y(height), r: 5, fill: COLORS[1] }));
  const right = best > 0.7; // there is no room for the words on the right of the dot
  svg.append(svgElement("text", { x: x(best) + (right ? -9 : 9), y: Math.max(y(height) - 8, 14), "text-anchor": right ? "end" : "start" },
    `F1 ${height.toFixed(2)} at a threshold of ${best.toFixed(2)}`));
}

function drawReliability() {
  const chart = axes(document.getElementById("reliability"), "score", "share of detections that are right");
  for (const bin of numbers().calibration.bins) {
    if (!bin.count) continue;
    const [x0, x1, top] = [chart.x(bin.bin_lower), chart.x(bin.bin_upper), chart.y(bin.avg_accuracy)];
    const bar = svgElement("rect", { x: x0 + 2, width: x1 - x0 - 4, y: top, height: chart.y(0) - top, fill: COLORS[0], opacity: bin.count < 20 ? 0.3 : 0.8 });
    bar.append(svgElement("title", {}, `${bin.count} detections with a mean score of ${bin.avg_confidence.toFixed(2)}: ${(100 * bin.avg_accuracy).toFixed(1)} % are right`));
    chart.svg.append(bar);
  }
  line(chart, [[0, 0], [1, 1]], "#5d6878", 1.5, "5 4");
}

function choose(key) {
  task = key;
  for (const element of document.querySelectorAll("[data-of]")) element.hidden = element.dataset.of !== task;
  for (const button of document.querySelectorAll("#tasks button")) button.setAttribute("aria-pressed", String(button.dataset.task === task));
  drawCurves();
  drawReliability();
}

function sortBy(heading) {
  const table = heading.closest("table"), index = [...heading.parentNode.children].indexOf(heading);
  const value = (row) => row.children[index].dataset.value;
  const numeric = [...table.tBodies[0].rows].every((row) => value(row) !== "" && !Number.isNaN(Number(value(row))));
  const sign = heading.dataset.sort === "down" ? 1 : -1; // numbers begin with the largest
  const rows = [...table.tBodies[0].rows].sort((a, b) =>
    numeric ? sign * (value(a) - value(b)) : -sign * value(a).localeCompare(value(b)));
  for (const other of table.querySelectorAll("th[data-sort]")) other.dataset.sort = "";
  heading.dataset.sort = sign < 0 ? "down" : "up";
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("#tasks button")) button.onclick = () => choose(button.dataset.task);
for (const heading of document.querySelectorAll("th[data-sort]")) heading.onclick = () => sortBy(heading);
const curveSelect = document.getElementById("curve-class");
curveSelect.onchange = () => { curveClass = Number(curveSelect.value); drawCurves(); };
for (const link of document.querySelectorAll("a[data-class]")) {
  link.onclick = () => { curveSelect.value = link.dataset.class; curveSelect.onchange(); };
}
choose(task);
