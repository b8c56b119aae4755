// Figures with their 95 % intervals, drawn on one axis from 0 to 1, and the films counted one way and the other.

import { make, makeSvg } from "./dom.js";
import { labelled, supported, thousands } from "./words.js";

const NAMES = {
  auroc: "AUROC",
  auroc_by_patient: "AUROC, by patient",
  sensitivity: "Sensitivity",
  specificity: "Specificity",
  accuracy: "Accuracy",
  precision: "Precision",
  f1: "F1",
};

const across = (share) => `${100 * share}%`; // no view box: marks stay round however wide the column is

// A row a figure; `other` are the same figures of the network to compare with, or null.
export function figureTable(figures, other, caption) {
  const rows = Object.entries(NAMES)
    .filter(([name]) => figures[name]?.value != null)
    .map(([name, title]) => figureRow(title, figures[name], other?.[name]));
  const head = ["Figure", "Value", "95 % interval", "0 to 1", "Films", "Interval by"];
  return table(head, rows, { class: "stack" }, caption);
}

function figureRow(title, figure, other) {
  const { value, low, high, n, method } = figure;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, title),
    cell("Value", supported(value, n), "number"),
    cell("95 % interval", low === null ? "–" : `${supported(low, n)} to ${supported(high, n)}`, "number"),
    make("td", { class: "wide" }, whisker(figure, other)),
    cell("Films", thousands(n), "number"),
    cell("Interval by", method, "why"),
  );
}

export function whisker({ value, low, high }, other) {
  const middle = (y, from, to, name) => makeSvg("line", { x1: across(from), x2: across(to), y1: y, y2: y, class: name });
  const marks = [middle(12, 0, 1, "axis")];
  if (other?.value != null && other.low !== null) {
    marks.push(middle(18, other.low, other.high, "other"), makeSvg("circle", { cx: across(other.value), cy: 18, r: 3.2, class: "other-value" }));
  }
  if (low !== null) marks.push(middle(9, low, high, "range"));
  marks.push(makeSvg("circle", { cx: across(value), cy: 9, r: 4.5, class: "value" }));
  return makeSvg("svg", { class: "whisker", "aria-hidden": "true" }, ...marks);
}

export function confusionTable(confusion, labels) {
  const [positive, negative] = [labels.positive, labels.negative].map(labelled);
  const row = (name, ...counts) => make("tr", {}, make("th", { scope: "row" }, name), ...counts.map((count) => make("td", {}, thousands(count))));
  return table(
    ["Test films", "flagged", "not flagged"],
    [row(positive, confusion.true_positives, confusion.false_negatives), row(negative, confusion.false_positives, confusion.true_negatives)],
    { class: "confusion" },
  );
}

export const cell = (name, text, kind = "") => make("td", { "data-name": name, class: kind }, text);

export function table(head, rows, attributes = {}, caption = null) {
  return make(
    "div",
    { class: "scroll" },
    make(
      "table",
      attributes,
      caption ? make("caption", {}, caption) : null,
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows),
    ),
  );
}
