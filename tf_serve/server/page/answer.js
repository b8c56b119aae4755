// The answer to the film that is being looked at: the decision, the score beside its cut-off, and the rest after.

import { at, list, show } from "./dom.js";
import { bannersOf } from "./models.js";
import { statusOf } from "./rows.js";
import { drawScale } from "./scale.js";
import { UNREADABLE, adviceOn, bandWords, besideCut, decisionOf, labelled, mutedBecause, percent, placed, scoresOf, signed } from "./words.js";

let aboutClosed = false; // once, when the first answer comes; from then on it is the reader's

export function explain(film, model, prevalence, current) {
  const { answer } = film;
  at("trouble").hidden = film.state !== "failed";
  at("result").hidden = at("result-details").hidden = at("raw").hidden = !answer;
  at("status").hidden = Boolean(answer) || film.state === "failed";
  if (answer && !aboutClosed) at("about").open = !(aboutClosed = true); // the answer comes first
  show("status", `${film.name}: ${statusOf(film)}`);
  if (film.state === "failed") explainError(film);
  if (answer) explainAnswer(film, model, prevalence, current);
}

export function explainNothing() {
  for (const id of ["trouble", "result", "result-details", "raw"]) at(id).hidden = true;
  at("status").hidden = false;
  show("status", "No film yet.");
}

function explainError({ name, error }) {
  show("error", `${name}: ${error.text}`);
  show("advice", error.retry ? "The film is still here and can be sent again." : UNREADABLE);
  at("again").hidden = !error.retry;
}

function explainAnswer(film, model, prevalence, current) {
  const { answer } = film;
  const rejected = answer.status === "rejected";
  const [title, note] = rejected ? ["Not answered", answer.explanation] : decisionOf(answer);
  show("film-name", film.name);
  // the header describes the current model; a film that another one answered has its own banner
  at("film-banners").replaceChildren(...(answer.model.sha256 === current?.sha256 ? [] : bannersOf(answer.model)));
  show("said", `${film.name}: ${title}${rejected ? "" : `, score ${scoresOf(answer).score} ${besideCut(answer)}`}`);
  show("decision", title);
  show("decision-note", note);
  show("decision-advice", rejected ? adviceOn(answer.reason) : "");
  at("decision-advice").hidden = !at("decision-advice").textContent;
  at("decision").className = `decision ${answer.decision ?? "rejected"}`;
  const muted = rejected ? "" : mutedBecause(answer.model);
  for (const id of ["result", "result-details"]) at(id).classList.toggle("muted", Boolean(muted));
  show("muted-because", muted);
  at("muted-because").hidden = !muted;
  at("score-part").hidden = at("figures").hidden = rejected;
  at("print").hidden = rejected;
  if (!rejected) explainFigures(answer, model, prevalence);
  explainLimits(answer, model);
  show("json", JSON.stringify(answer, null, 2));
}

function explainFigures(answer, model, prevalence) {
  const { positives, negatives } = answer.calibration;
  show("score", scoresOf(answer).score);
  show("score-of", besideCut(answer));
  at("scale").replaceChildren(drawScale(answer));
  show("probability-of", `Probability of ${model ? labelled(model.labels.positive) : "the positive class"}, calibrated`);
  show("probability", percent(answer.probability));
  show("band", bandWords(answer));
  show("place", placed(answer.evidence));
  show("margin", `${signed(answer.margin)} (threshold ${signed(answer.threshold)})`);
  const prior = percent(positives / Math.max(1, positives + negatives));
  show("prior", `The probability is calibrated on films with ${prior} positives; where the disease is rarer, it is too high. The line's steps are log-odds: equal steps are equal evidence.`);
  at("worth").hidden = answer.model.synthetic; // of drawn films nothing follows for people
  prevalence.explain(answer, model);
}

// What this film adds to the limits that hold for every film of the model.
function explainLimits(answer, model) {
  const known = new Set(model?.limits ?? []);
  const more = answer.limits.filter((limit) => !known.has(limit));
  at("film-limits").replaceChildren(...list(more));
  at("film-limits").hidden = more.length === 0;
}
