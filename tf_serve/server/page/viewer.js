// The dark side of the page: one film, what its evidence is drawn as, and how strongly.

import { Display } from "./display.js";
import { at, show } from "./dom.js";
import { open } from "./film.js";
import { isWeak, paintEvidence, paintFilm, shape, shares } from "./map.js";
import { labelled, placed } from "./words.js";

const KEPT = 6; // pictures held for going back and forth; some 4 MB each
const OFF = "off";

export class Viewer {
  #film = null;
  #bitmaps = new Map(); // by the film's number, the latest last
  #before = "outline"; // style to come back to
  #positive = "positive";
  #display = new Display(() => this.draw());

  constructor(opened) {
    this.opened = opened; // called with a film and its picture
    at("opacity").addEventListener("input", () => this.draw());
    for (const choice of this.#choices) choice.addEventListener("change", () => this.draw());
    at("enlarge").addEventListener("click", () => this.enlarge());
  }

  async show(film) {
    if (film !== this.#film) this.#display.reset(); // a film is first seen as it came
    this.#film = film;
    if (!this.#bitmaps.has(film.number) && film.wrapped) {
      const bitmap = await open(film.wrapped);
      this.#keep(film, bitmap);
      if (bitmap) this.opened(film, bitmap);
    }
    if (this.#film === film) this.draw();
  }

  clear() {
    for (const bitmap of this.#bitmaps.values()) bitmap?.close();
    this.#bitmaps.clear();
    this.#film = null;
    this.draw();
  }

  // The picture of a film that is being shown, else null.
  picture(film) {
    return this.#bitmaps.get(film.number) ?? null;
  }

  // How evidence is drawn: {style, strength 0..1}.
  get evidence() {
    return { style: this.#choices.find(({ checked }) => checked).value, strength: at("opacity").value / 100 };
  }

  get keys() {
    return { ...this.#display.keys, m: () => this.#toggle(), f: () => this.enlarge() };
  }

  get #choices() {
    return [...document.getElementsByName("evidence")];
  }

  #toggle() {
    const { style } = this.evidence;
    if (style !== OFF) this.#before = style;
    for (const choice of this.#choices) choice.checked = choice.value === (style === OFF ? this.#before : OFF);
    this.draw();
  }

  enlarge() {
    if (document.fullscreenElement) document.exitFullscreen();
    else at("viewer").requestFullscreen?.().catch(() => {});
  }

  draw() {
    const film = this.#film;
    const bitmap = film && this.#bitmaps.get(film.number);
    const evidence = film?.answer?.evidence;
    const asked = Boolean(film && this.#bitmaps.has(film.number));
    at("frame").hidden = !bitmap;
    at("invitation").hidden = Boolean(film);
    at("no-picture").hidden = !asked || Boolean(bitmap);
    show("no-picture", "This file has no picture that can be shown.");
    at("controls").hidden = !film;
    for (const part of document.querySelectorAll(".of-picture")) part.hidden = !bitmap;
    for (const part of document.querySelectorAll(".mark, .of-map")) part.hidden = !(bitmap && evidence);
    at("edge-part").hidden = !(bitmap && evidence);
    if (!bitmap) return;
    for (const id of ["film", "evidence"]) shape(at(id), bitmap);
    paintFilm(at("film"), bitmap, this.#display.shown);
    at("film").setAttribute("aria-label", evidence ? `The film; most evidence: ${placed(evidence)}` : "The film");
    if (evidence) this.#drawEvidence(evidence.map, bitmap);
  }

  #drawEvidence(map, bitmap) {
    const { style } = this.evidence;
    paintEvidence(at("evidence"), bitmap, map, this.evidence, this.#display.shown);
    show("opacity-now", `${at("opacity").value} %`);
    at("opacity").setAttribute("aria-valuetext", `${at("opacity").value} percent`);
    at("opacity").disabled = style === OFF;
    show("legend", legendOf(style, map, this.#positive));
    show("edge", edgeWords(map, bitmap));
  }

  nameClasses(labels) {
    this.#positive = labelled(labels.positive);
  }

  #keep(film, bitmap) {
    this.#bitmaps.set(film.number, bitmap);
    const [oldest] = this.#bitmaps.keys();
    if (this.#bitmaps.size <= KEPT) return;
    this.#bitmaps.get(oldest)?.close();
    this.#bitmaps.delete(oldest);
  }
}

// What the lines or colours over a film mean.
export function legendOf(style, map, positive) {
  if (style === OFF) return "Evidence is not drawn.";
  const weak = isWeak(map) ? " It is weak everywhere on this film." : "";
  if (style === "colours") return `Orange moved the margin towards ${positive}, blue away from it.${weak}`;
  if (!map.flat().some((value) => value > 0)) return `No region of this film speaks for ${positive}.`;
  return `The line encloses the regions that carry half of the evidence for ${positive}${weak && " (dashed)"}.${weak}`;
}

// Where the lungs are, nothing here knows; how near to the edge the evidence lies can be said.
export function edgeWords(map, bitmap) {
  const { edge, beside } = shares(map, bitmap);
  if (edge === null) return beside ? "none on the film: all of it in the black that pads it to a square" : "no region speaks for it";
  const whole = (share) => `${Math.round(100 * share)} %`;
  const black = beside >= 0.005 ? `; ${whole(beside)} more in the black that pads it to a square` : "";
  return `${whole(edge)} in the outer tenth on each side, where lungs seldom are${black}`;
}
