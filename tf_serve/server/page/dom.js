// Elements in one line each; text is always text, never markup.

export const at = (id) => document.getElementById(id);

export function show(id, text) {
  at(id).textContent = text;
}

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// One pair of a <dl>.
export function pair(name, ...value) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, ...value));
}

export function list(texts) {
  return texts.map((text) => make("li", {}, text));
}
