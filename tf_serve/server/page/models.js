// Who answers: the line in the header, the banners, the chooser where there are several, and what is known of each.

import { aboutModel, askCertificate, askModel, askModels, shownHere } from "./api.js";
import { at, list, make, pair, show } from "./dom.js";
import { conversionOf, counted, labelled } from "./words.js";

const LATER_MS = 1500; // until a server that does not answer is tried again
const CHECK_MS = 30_000; // until one that does: another model may have landed

export class Models {
  #known = new Map(); // by digest of the file: what answers of that file are explained with
  #timer = null;
  current = null;

  constructor(changed, failed) {
    this.changed = changed;
    this.failed = failed; // called with the reason where nothing will ever answer
    at("chooser").addEventListener("change", () => this.refresh());
  }

  // The model that is used; where there is one, none is named, so that its successor answers as soon as it lands.
  get which() {
    return at("chooser-line").hidden ? {} : { model: at("chooser").value };
  }

  // Ask until there is an answer: a server that loads its model says so meanwhile.
  async refresh() {
    try {
      await this.#fillChooser();
      this.current = await this.#ask(this.which);
      describe(this.current, this.which);
      this.changed();
      this.#later(CHECK_MS);
    } catch (error) {
      at("banners").replaceChildren(notReady(error));
      show("model-line", "no model answers");
      if (error.final) this.failed(error);
      else if (error.status !== 401) this.#later(LATER_MS); // another place asks for a token
    }
  }

  // What is known of the file that gave an answer; another than before means that a new model has landed.
  async of(answer, which) {
    const { sha256 } = answer.model;
    if (!this.#known.has(sha256)) {
      const found = await this.#ask(which).catch(() => null);
      if (found?.sha256 !== sha256) return this.#known.get(sha256) ?? null;
      if (JSON.stringify(which) === JSON.stringify(this.which)) {
        this.current = found;
        describe(found, which);
      }
    }
    return this.#known.get(sha256);
  }

  #later(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (document.hidden ? this.#later(milliseconds) : this.refresh()), milliseconds);
  }

  async #ask(which) {
    const model = await askModel(which);
    if (this.#known.has(model.sha256)) return { ...this.#known.get(model.sha256), ...model };
    const certificate = await askCertificate(which);
    const known = { ...model, operating: certificate.operating, missing: certificate.missing };
    if (certificate.model.sha256 === model.sha256) this.#known.set(model.sha256, known);
    return known;
  }

  async #fillChooser() {
    const { models, default: first } = await askModels();
    const chosen = at("chooser").value || first;
    at("chooser").replaceChildren(...models.map(({ name }) => make("option", { value: name, selected: name === chosen }, name)));
    at("chooser-line").hidden = models.length < 2;
  }
}

function banner(text, kind = "") {
  return make("p", { class: `banner ${kind}` }, text);
}

// Why nothing answers, with the button that helps where one does.
export function notReady(error) {
  const said = banner(`${error.final ? "Nothing is answered" : "Not ready"}: ${error.message}`, error.final ? "final" : "");
  if (error.renew) {
    const button = make("button", { type: "button" }, "Reload");
    button.addEventListener("click", error.renew);
    said.append(" ", button);
  }
  return said;
}

export function describe(model, which) {
  at("banners").replaceChildren(...bannersOf(model));
  at("model-line").replaceChildren(`${model.name} · `, whoAnswers(model, which), ` · version ${model.version}`);
  if (model.disclaimer) show("disclaimer", model.disclaimer);
  at("limits").replaceChildren(...list(model.limits));
  const point = model.operating_point;
  at("facts").replaceChildren(
    pair("Network", `${model.kind}, ${model.artefact}`),
    pair("Distinguishes", `${labelled(model.labels.positive)} from ${labelled(model.labels.negative)}`),
    pair("Sensitivity", counted(point.sensitivity, point.positives, "positive")),
    pair("Specificity", counted(point.specificity, point.negatives, "negative")),
    ...shownHere().map(promised),
  );
}

// A pair whose sentence comes later.
function promised([name, sentence]) {
  const text = make("span", {}, "…");
  sentence.then((said) => (text.textContent = said), () => {});
  return pair(name, text);
}

// Which verdict a file has stands on the page about the model, where there is room to say what it means.
function whoAnswers(model, which) {
  const words = model.kind === "baseline" ? "baseline, not the trained network" : conversionOf(model);
  return make("a", { id: "verified", href: aboutModel(which, "#certificate") }, words);
}

export function bannersOf(model) {
  const said = [];
  if (model.kind === "baseline") said.push(banner(`The baseline answers, not a trained network. Reason: ${model.fallback_reason}.`));
  if (model.synthetic) said.push(banner("Trained on synthetic phantoms: its answers say nothing about a person.", "synthetic"));
  return said;
}
