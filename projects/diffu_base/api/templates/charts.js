// Charts as SVG: both axes run from 0 to 1.
const SVG = "http://www.w3.org/2000/svg";

function svgElement(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Draws axes into `figure` and returns the SVG and the functions from values to its coordinates.
function axes(figure, xLabel, yLabel) {
  const [width, height, left, bottom, top, right] = [520, 330, 52, 42, 10, 14];
  const svg = svgElement("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${yLabel} over ${xLabel}` });
  const x = (value) => left + value * (width - left - right);
  const y = (value) => height - bottom - value * (height - bottom - top);
  for (let i = 0; i <= 5; i++) {
    const value = i / 5;
    svg.append(svgElement("line", { x1: x(0), x2: x(1), y1: y(value), y2: y(value), stroke: "#e4e8ef" }));
    svg.append(svgElement("line", { x1: x(value), x2: x(value), y1: y(0), y2: y(1), stroke: "#eff1f5" }));
    svg.append(svgElement("text", { x: x(0) - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1)));
    svg.append(svgElement("text", { x: x(value), y: y(0) + 17, "text-anchor": "middle" }, value.toFixed(1)));
  }
  svg.append(svgElement("text", { x: x(0.5), y: height - 6, "text-anchor": "middle" }, xLabel));
  svg.append(svgElement("text", { x: 14, y: y(0.5), "text-anchor": "middle", transform: `rotate(-90 14 ${y(0.5)})` }, yLabel));
  figure.replaceChildren(svg);
  return { svg, x, y };
}

// A line breaks where a point has no value.
function line({ svg, x, y }, points, color, width = 2.2, dash = "") {
  let path = "", drawing = false;
  for (const [px, py] of points) {
    if (py === null) { drawing = false; continue; }
    path += `${drawing ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`;
    drawing = true;
  }
  svg.append(svgElement("path", { d: path, fill: "none", stroke: color, "stroke-width": width, "stroke-dasharray": dash }));
}

function legend(figure, entries) {
  const element = document.createElement("div");
  element.className = "legend";
  for (const [name, color] of entries) {
    const entry = document.createElement("span"), mark = document.createElement("i");
    mark.style.borderColor = color;
    entry.append(mark, name);
    element.append(entry);
  }
  figure.append(element);
}
