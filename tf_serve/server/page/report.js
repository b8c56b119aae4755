// The printed report: one page a film, with everything that the page on screen would have said.

import { at, list, make, pair } from "./dom.js";
import { open } from "./film.js";
import { paintEvidence, paintFilm, shape } from "./map.js";
import { asCounted, atLeast, elsewhere, known, predictive } from "./prevalence.js";
import { drawScale } from "./scale.js";
import { edgeWords, legendOf } from "./viewer.js";
import { bandWords, besideCut, conversionOf, decisionOf, interval, labelled, mutedBecause, percent, placed, scoresOf, signed } from "./words.js";

const BY_HAND = ["Patient", "Site", "Reader", "Signature", "Date"]; // written on paper: nothing of it is asked for or kept
const PRINT_SIDE = 900; // pixels of a picture: 250 dots an inch at 9 cm

// Lay out one sheet for each film; pictures that the viewer does not hold are opened and closed again.
export async function layOut(films, { modelOf, pictureOf, evidence, share }) {
  const sheets = [];
  for (const film of films) {
    const held = pictureOf(film);
    const bitmap = held ?? (await open(film.wrapped));
    sheets.push(sheet(film, await modelOf(film), bitmap, evidence, share));
    if (!held) bitmap?.close();
  }
  at("report").replaceChildren(...sheets);
  at("report").hidden = sheets.length === 0;
}

function sheet(film, model, bitmap, evidence, share) {
  const { answer } = film;
  const [title, note] = decisionOf(answer);
  return make(
    "article",
    { class: mutedBecause(answer.model) ? "sheet muted" : "sheet" },
    make("header", {}, make("h1", {}, "Chest film screening: report"), make("p", {}, new Date(film.at).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" }))),
    make("p", { class: "sheet-film" }, film.name, film.sha256 ? ` · SHA-256 ${film.sha256.slice(0, 12)}` : ""),
    make("h2", { class: `decision ${answer.decision}` }, title),
    make("p", {}, note),
    make("p", { class: "sheet-score" }, "Score ", make("strong", {}, scoresOf(answer).score), ` ${besideCut(answer)}`),
    drawScale(answer),
    ...warnings(answer),
    bitmap ? pictures(bitmap, answer, model, evidence) : null,
    make("dl", { class: "pairs" }, ...figures(answer, model, bitmap, share)),
    make("ul", { class: "limits" }, ...list(answer.limits)),
    make("dl", { class: "by-hand" }, ...BY_HAND.map((name) => make("div", {}, make("dt", {}, name), make("dd", {})))),
    make("footer", {}, `${answer.model.name}, version ${answer.model.version}, ${answer.model.kind}, ${conversionOf(answer.model)}. File ${answer.model.artefact}, SHA-256 ${answer.model.sha256}. Result ${answer.result_id}.`),
  );
}

function warnings({ model }) {
  const said = [];
  if (model.kind === "baseline") said.push(`The baseline answered, not a trained network. Reason: ${model.fallback_reason}.`);
  if (model.synthetic) said.push("Trained on synthetic phantoms: the answer says nothing about a person.");
  return said.map((text) => make("p", { class: "banner" }, text));
}

function pictures(bitmap, answer, model, { style, strength }) {
  const { map } = answer.evidence;
  const drawn = style === "off" ? "outline" : style;
  const positive = model ? labelled(model.labels.positive) : "the positive class";
  const draw = (said, over) => {
    const canvas = make("canvas", { role: "img", "aria-label": said });
    shape(canvas, bitmap, PRINT_SIDE);
    paintFilm(canvas, bitmap);
    if (over) paintEvidence(canvas, bitmap, map, over);
    return make("figure", {}, make("div", { class: "print-film" }, canvas, make("span", { class: "mark mark-left" }, "R"), make("span", { class: "mark mark-right" }, "L")), make("figcaption", {}, said));
  };
  return make(
    "div",
    { class: "pictures" },
    draw("The film. R and L: the patient's sides under the usual display convention.", null),
    draw(legendOf(drawn, map, positive), { style: drawn, strength: drawn === "outline" ? 1 : strength }),
  );
}

function figures(answer, model, bitmap, share) {
  const rows = [
    pair(`Probability of ${model ? labelled(model.labels.positive) : "the positive class"}, calibrated`, percent(answer.probability)),
    pair("Nothing is decided at scores", bandWords(answer)),
    pair("Most evidence", placed(answer.evidence)),
    bitmap ? pair("Evidence near the film's edge", edgeWords(answer.evidence.map, bitmap)) : null,
    pair("Margin, in logits", `${signed(answer.margin)} (threshold ${signed(answer.threshold)})`),
    model ? pair("Distinguishes", `${labelled(model.labels.positive)} from ${labelled(model.labels.negative)}`) : null,
  ].filter(Boolean);
  if (!known(model) || answer.model.synthetic) return rows; // of drawn films nothing follows for people
  const { operating } = model;
  const { ppv, npv } = predictive(operating, share);
  const [where] = elsewhere(model);
  const said = +(100 * share).toPrecision(3);
  const worth = (figure) => `${atLeast(figure)} ${where}${model.site ? "" : "; elsewhere expect less"} (${asCounted(figure)})`;
  return [
    ...rows,
    pair("Sensitivity", interval(operating.sensitivity)),
    pair("Specificity", interval(operating.specificity)),
    pair(`PPV where ${said} % have it`, worth(ppv)),
    pair(`NPV where ${said} % have it`, worth(npv)),
  ];
}
