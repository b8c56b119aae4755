// The dark side of the page: one film, its evidence map, and how strongly the map is drawn.

import { at, show } from "./dom.js";
import { open } from "./film.js";
import { paint } from "./map.js";
import { labelled, placed } from "./words.js";

const KEPT = 6; // pictures held for going back and forth; some 4 MB each

export class Viewer {
  #film = null;
  #bitmaps = new Map(); // by the film's number, the latest last
  #before = 50; // opacity to come back to

  constructor(opened) {
    this.opened = opened; // called with a film and its picture
    at("opacity").addEventListener("input", () => this.draw());
    at("enlarge").addEventListener("click", () => this.enlarge());
  }

  async show(film) {
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

  get opacity() {
    return at("opacity").value / 100;
  }

  toggle() {
    const slider = at("opacity");
    const on = Number(slider.value) > 0;
    if (on) this.#before = slider.value;
    slider.value = on ? 0 : this.#before;
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
    at("film").hidden = !bitmap;
    at("invitation").hidden = Boolean(film);
    at("no-picture").hidden = !asked || Boolean(bitmap);
    show("no-picture", "This file has no picture that can be shown.");
    at("controls").hidden = !film;
    for (const part of document.querySelectorAll(".mark, .of-map")) part.hidden = !(bitmap && evidence);
    show("opacity-now", `${at("opacity").value} %`);
    at("opacity").setAttribute("aria-valuetext", `${at("opacity").value} percent`);
    if (!bitmap) return;
    paint(at("film"), bitmap, evidence?.map, this.opacity);
    at("film").setAttribute("aria-label", evidence ? `The film with its evidence map; most evidence: ${placed(evidence)}` : "The film");
  }

  nameClasses(labels) {
    show("positive-name", labelled(labels.positive));
  }

  #keep(film, bitmap) {
    this.#bitmaps.set(film.number, bitmap);
    const [oldest] = this.#bitmaps.keys();
    if (this.#bitmaps.size <= KEPT) return;
    this.#bitmaps.get(oldest)?.close();
    this.#bitmaps.delete(oldest);
  }
}
