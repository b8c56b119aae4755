// The page about the model: what manifest, metrics, certificate and model card say, put in order for people.

import { askForToken } from "./access.js";
import { askCertificate, askModels } from "./api.js";
import { bandSentence, certificateParts, chip } from "./certificate.js";
import { at, list, make, pair, show } from "./dom.js";
import { save } from "./download.js";
import { confusionTable, figureTable } from "./figures.js";
import { bannersOf, notReady } from "./models.js";
import { interval, labelled, percent, signed, thousands } from "./words.js";

const LATER_MS = 1500;
let facts = null;

async function load() {
  try {
    await fillChooser();
    facts = await askCertificate({ model: at("chooser").value });
    draw();
  } catch (error) {
    at("banners").replaceChildren(notReady(error));
    if (error.status !== 401 && !error.final) setTimeout(load, LATER_MS);
  }
}

async function fillChooser() {
  const { models, default: first } = await askModels();
  const requested = at("chooser").value || new URLSearchParams(location.search).get("model");
  const chosen = models.some(({ name }) => name === requested) ? requested : first;
  at("chooser").replaceChildren(...models.map(({ name }) => make("option", { value: name, selected: name === chosen }, name)));
  at("chooser-line").hidden = models.length < 2;
}

function draw() {
  const { model, manifest, limits, model_card: card, missing } = facts;
  at("banners").replaceChildren(...bannersOf(model), ...Object.values(missing).map((why) => make("p", { class: "banner" }, `Left out: ${why}`)));
  show("model-line", `${model.kind} · ${model.verdict} · ${model.version}`);
  show("name", model.name);
  show("what", `${model.kind === "trained" ? "A trained network" : "The baseline, one linear layer on a 28 x 28 thumbnail,"} that distinguishes ${labelled(manifest.labels.positive)} from ${labelled(manifest.labels.negative)} on one frontal chest film.`);
  at("identity").replaceChildren(...identity());
  at("limits").replaceChildren(...list(limits));
  at("figures").replaceChildren(...figures().filter(Boolean));
  at("certificate").replaceChildren(...certificateParts(facts));
  at("origin").replaceChildren(...origin());
  show("card", card ?? "");
  at("card-details").hidden = !card;
  if (model.disclaimer) show("disclaimer", model.disclaimer);
  at("main").dataset.ready = "";
  document.getElementById(location.hash.slice(1))?.scrollIntoView(); // what was linked to was empty until now
}

function identity() {
  const { model, manifest, operating } = facts;
  const { margin } = manifest.decision_rules[model.kind].operating_point;
  return [
    pair("File that answers", make("code", {}, model.artefact)),
    pair("Verdict", chip(model.verdict)),
    pair("Version", make("code", {}, model.version)),
    pair("SHA-256", make("code", {}, model.sha256)),
    pair("Sensitivity at the threshold", interval(operating.sensitivity)),
    pair("Specificity at the threshold", interval(operating.specificity)),
    pair("Threshold, a margin in logits", signed(margin)),
    pair("Input", `one grey film, ${manifest.preprocessing.size} x ${manifest.preprocessing.size}, padded with black`),
  ];
}

function figures() {
  const { metrics, certificate, model, manifest } = facts;
  const networks = metrics?.networks ?? {};
  const test = networks[model.kind]?.test;
  const values = test?.figures ?? certificate?.bound?.metrics?.[model.kind];
  if (!values) return [make("p", {}, "The bundle holds no figures of a test part."), operatingSentence()];
  const other = model.kind === "trained" ? (networks.baseline?.test?.figures ?? certificate?.bound?.metrics?.baseline) : null;
  return [
    partSentence(metrics),
    other ? make("p", { class: "legend" }, make("span", {}, "this network"), make("span", { class: "hollow" }, "baseline: 28 x 28 pixels, one linear layer")) : null,
    figureTable(values, other, null),
    gainSentence(metrics),
    test?.confusion ? make("h3", {}, "Test films, counted") : null,
    test?.confusion ? confusionTable(test.confusion, manifest.labels) : null,
    make("h3", {}, "Threshold and probability"),
    operatingSentence(),
  ];
}

function partSentence(metrics) {
  const part = metrics?.films?.test;
  if (!part) return make("p", {}, "On the test part, which neither training nor threshold saw.");
  const { positive, negative } = metrics.labels;
  const people = metrics.patients_known ? ` of ${thousands(part.patients)} patients` : "";
  return make("p", {}, `On the test part: ${thousands(part.n)} films${people} (${part.positives} ${labelled(positive)}, ${part.negatives} ${labelled(negative)}), which neither training nor threshold saw. ${metrics.retuned ? "Figures at the earlier threshold are left out: it was set anew (tbconv retune)." : "Every figure but AUROC is at the threshold."}`);
}

function gainSentence(metrics) {
  const gain = metrics?.auroc_gain;
  if (gain?.value == null) return null;
  return make("p", {}, `AUROC of the trained network minus the baseline's: ${signed(gain.value)} (${signed(gain.low)} to ${signed(gain.high)}, ${gain.method}).`);
}

function operatingSentence() {
  const { manifest, model, operating, metrics } = facts;
  const asked = Object.entries(metrics?.retuned?.asked ?? { sensitivity: null })[0];
  const { operating_point: point, calibration } = manifest.decision_rules[model.kind];
  const parts = [
    `Flagged from a margin of ${signed(point.margin)} logits up, chosen on ${thousands(point.positives + point.negatives)} ${metrics?.retuned ? "films of a site (tbconv retune)" : "validation films"} for a ${asked[0]} of ${asked[1] ?? point.target_sensitivity}.`,
    `There it reached sensitivity ${percent(point.sensitivity)} of ${thousands(point.positives)} positives and specificity ${percent(point.specificity)} of ${thousands(point.negatives)} negatives.`,
    `The file that answers: sensitivity ${interval(operating.sensitivity)}, specificity ${interval(operating.specificity)}, on ${operating.of}.`,
    `Probability = sigmoid(${calibration.slope.toFixed(3)} x margin ${signed(calibration.offset)}), fitted on ${thousands(calibration.positives + calibration.negatives)} films.`,
    bandSentence(facts),
  ];
  return make("p", {}, parts.filter(Boolean).join(" "));
}

function origin() {
  const { manifest, metrics } = facts;
  const { training = {}, conversion = {}, arch } = manifest.provenance;
  const rows = [
    ["Network", arch],
    ["Trained at commit", training.git_commit],
    ["Trained on", training.gpu ?? training.machine?.processor],
    ["Data, SHA-256", training.data_digest],
    ["Split, SHA-256", training.split_digest],
    ["Converted at commit", conversion.git_commit],
    ["Films", metrics && Object.entries(metrics.films).map(([part, { n }]) => `${thousands(n)} ${part}`).join(", ")],
    ["Synthetic", manifest.synthetic ? "yes: drawn phantoms, no patients" : "no"],
  ];
  return [
    make("dl", { class: "pairs" }, ...rows.filter(([, value]) => value).map(([name, value]) => pair(name, String(value)))),
    packages("Packages it was trained with", training.packages),
    packages("Packages it was converted with", conversion.packages),
  ].filter(Boolean);
}

function packages(title, versions) {
  if (!versions) return null;
  const rows = Object.entries(versions).map(([name, version]) => pair(name, version));
  return make("details", {}, make("summary", {}, title), make("dl", { class: "pairs columns" }, ...rows));
}

at("chooser").addEventListener("change", load);
at("download").addEventListener("click", () => facts && save(`model-${facts.model.version}.json`, facts));
at("print").addEventListener("click", () => window.print());
askForToken(load);
load();
