// The printed report: one page a film, with everything that the page on screen would have said.

import { at, list, make, pair } from "./dom.js";
import { open } from "./film.js";
import { paint } from "./map.js";
import { inWhole, predictive } from "./prevalence.js";
import { drawScale } from "./scale.js";
import { DECISIONS, bandWords, interval, labelled, percent, placed, signed } from "./words.js";

const PRINT_SIDE = 900; // pixels of a picture: 250 dots an inch at 9 cm

// Lay out one sheet for each film; pictures that the viewer does not hold are opened and closed again.
export async function layOut(films, { modelOf, pictureOf, opacity, share }) {
  const sheets = [];
  for (const film of films) {
    const held = pictureOf(film);
    const bitmap = held ?? (await open(film.wrapped));
    sheets.push(sheet(film, await modelOf(film), bitmap, opacity, share));
    if (!held) bitmap?.close();
  }
  at("report").replaceChildren(...sheets);
  at("report").hidden = sheets.length === 0;
}

function sheet(film, model, bitmap, opacity, share) {
  const { answer } = film;
  const [title, note] = DECISIONS[answer.decision];
  return make(
    "article",
    { class: "sheet" },
    make("header", {}, make("h2", {}, "Chest film screening: report"), make("p", {}, new Date(film.at).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" }))),
    make("p", { class: "sheet-film" }, film.name, film.sha256 ? ` · SHA-256 ${film.sha256.slice(0, 12)}` : ""),
    make("h3", { class: `decision ${answer.decision}` }, title),
    make("p", {}, note),
    ...warnings(answer),
    bitmap ? pictures(bitmap, answer, opacity) : null,
    drawScale(answer),
    make("dl", { class: "pairs" }, ...figures(answer, model, share)),
    make("ul", { class: "limits" }, ...list(answer.limits)),
    make("footer", {}, `${answer.model.name}, version ${answer.model.version}, ${answer.model.kind}, ${answer.model.verdict}. File ${answer.model.artefact}, SHA-256 ${answer.model.sha256}. Result ${answer.result_id}.`),
  );
}

function warnings({ model }) {
  const said = [];
  if (model.kind === "baseline") said.push(`The baseline answered, not a trained network. Reason: ${model.fallback_reason}.`);
  if (model.synthetic) said.push("Trained on synthetic phantoms: the answer says nothing about a person.");
  return said.map((text) => make("p", { class: "banner" }, text));
}

function pictures(bitmap, answer, opacity) {
  const draw = (evidence, said) => {
    const canvas = make("canvas", { role: "img", "aria-label": said });
    paint(canvas, bitmap, evidence, opacity, PRINT_SIDE);
    return make("figure", {}, make("div", { class: "print-film" }, canvas, make("span", { class: "mark mark-left" }, "R"), make("span", { class: "mark mark-right" }, "L")), make("figcaption", {}, said));
  };
  return make(
    "div",
    { class: "pictures" },
    draw(null, "The film. R and L: the patient's sides under the usual display convention."),
    draw(answer.evidence.map, "Its evidence map: orange moved the margin up, blue down."),
  );
}

function figures(answer, model, share) {
  const rows = [
    pair("Probability, calibrated", percent(answer.probability)),
    pair("Threshold", percent(answer.calibration.threshold_probability)),
    pair("Margin", `${signed(answer.margin)} (threshold ${signed(answer.threshold)})`),
    pair("Indeterminate band", bandWords(answer)),
    pair("Most evidence", placed(answer.evidence)),
  ];
  const operating = model?.operating;
  if (!operating || operating.sensitivity.value === null || operating.specificity.value === null) return rows;
  const { ppv, npv } = predictive(operating, share);
  const worth = ({ value, low, high }) => (value === null ? "–" : `${inWhole(value)} % (95 % interval ${inWhole(low)} to ${inWhole(high)} %)`);
  return [
    ...rows,
    pair("Distinguishes", `${labelled(model.labels.positive)} from ${labelled(model.labels.negative)}`),
    pair("Sensitivity", interval(operating.sensitivity)),
    pair("Specificity", interval(operating.specificity)),
    pair(`PPV where ${+(100 * share).toPrecision(3)} % have it`, worth(ppv)),
    pair(`NPV where ${+(100 * share).toPrecision(3)} % have it`, worth(npv)),
  ];
}
