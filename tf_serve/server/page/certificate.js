// What the certificate says of each file, in the order of the bundle: verdict, distance from PyTorch, decisions turned.

import { make } from "./dom.js";
import { cell, table } from "./figures.js";
import { megabytes, percent } from "./words.js";

const MEANING = {
  CERTIFIED: "as close to PyTorch as PyTorch is to exact arithmetic",
  BOUNDED: "reduced precision, measured; at most 1 % of the decisions turn",
  "CANNOT SAY": "measured, on too little for either; it may not answer",
  FAILED: "measured, and neither; it may not answer",
  UNVERIFIED: "not measured",
};

export function certificateParts({ certificate, manifest, model, missing }) {
  if (!certificate) return [make("p", { class: "banner" }, missing["certificate.json"] ?? "There is no certificate.")];
  const { inputs, deploy, artefacts } = certificate;
  const rows = manifest.artefacts.map((artefact) => row(artefact, artefacts[artefact.path], artefact.path === model.artefact));
  const head = ["File", "Verdict", "Size", "One film", "Decisions turned", "Why"];
  return [
    make("p", {}, `Every file was run on the same ${inputs.description ?? "films"} as the network in PyTorch, and the outputs were compared.`),
    table(head, rows, { class: "stack" }),
    meanings(artefacts),
    ...proposal(deploy),
  ];
}

function row(artefact, verdict, answers) {
  const figures = verdict?.figures ?? {};
  const turned = figures.flips === undefined || !figures.samples ? "–" : `${figures.flips} of ${figures.samples}`;
  return make(
    "tr",
    { class: answers ? "served" : "" },
    make("th", { scope: "row" }, make("code", {}, artefact.path), answers ? make("span", { class: "chip answers" }, "answers") : null),
    make("td", {}, chip(verdict?.verdict ?? "UNVERIFIED")),
    cell("Size", megabytes(artefact.bytes), "number"),
    cell("One film", figures.latency_ms ? `${figures.latency_ms.median.toFixed(1)} ms` : "–", "number"),
    cell("Decisions turned", turned, "number"),
    make("td", { class: "why" }, verdict?.reason ?? "the certificate does not name it"),
  );
}

export const chip = (verdict) => make("span", { class: `chip ${verdict.replace(" ", "-")}` }, verdict);

function meanings(artefacts) {
  const found = new Set(Object.values(artefacts).map(({ verdict }) => verdict));
  const said = Object.entries(MEANING).filter(([verdict]) => found.has(verdict));
  return make("p", { class: "quiet" }, said.map(([verdict, meaning]) => `${verdict}: ${meaning}`).join(" · "));
}

function proposal(deploy) {
  if (!deploy || !("artefact" in deploy)) return [];
  const others = Object.entries(deploy.others ?? {});
  return [
    make("h3", {}, "Which file is proposed"),
    make("p", {}, deploy.artefact ? make("code", {}, deploy.artefact) : "None of the trained files", `: ${deploy.reason}.`),
    make("ul", { class: "limits" }, ...others.map(([name, reason]) => make("li", {}, make("code", {}, name), ` not: ${reason}.`))),
  ];
}

// What a band means, where the served file has one.
export function bandSentence({ certificate, model }) {
  const band = certificate?.artefacts?.[model.artefact]?.figures?.abstention_band;
  if (!band) return null;
  const { half_width: half, inside, samples } = band;
  return `Within ${half.toPrecision(2)} logits of the threshold this file decides nothing: beyond it no measured film changed its decision. ${inside} of ${samples} measured films lie inside (${percent(inside / samples)}).`;
}
