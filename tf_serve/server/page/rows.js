// The list of films: one button a film with its small picture, status, decision and score beside its cut-off.

import { at, make, show } from "./dom.js";
import { open, thumbnail } from "./film.js";
import { OPEN_STATES } from "./queue.js";
import { SHORT, mutedBecause, readable, scoresOf } from "./words.js";

export class Rows {
  #rows = new Map(); // by the film's number
  #drawing = Promise.resolve(); // small pictures one after the other

  constructor(select) {
    this.select = select;
    at("rows").addEventListener("keydown", (event) => this.#step(event));
  }

  update(film) {
    const row = this.#rows.get(film.number) ?? this.#add(film);
    row.status.textContent = statusOf(film);
    row.button.dataset.state = film.state;
    row.button.dataset.decision = film.answer?.decision ?? "";
    row.button.classList.toggle("muted", Boolean(film.answer && mutedBecause(film.answer.model)));
    if (film.state === "ok") row.score.replaceChildren(...scoreParts(film.answer));
    if (film.wrapped && !row.drawn) this.#picture(film, row);
  }

  mark(film) {
    for (const [number, { button }] of this.#rows) {
      const current = number === film.number;
      button.setAttribute("aria-current", String(current));
      if (current) button.scrollIntoView({ block: "nearest" });
    }
  }

  clear() {
    this.#rows.clear();
    at("rows").replaceChildren();
  }

  #add(film) {
    const canvas = make("canvas", { width: 1, height: 1, "aria-hidden": "true" });
    const status = make("span", { class: "row-status" });
    const score = make("span", { class: "row-score" });
    const name = make("span", { class: "row-name" }, film.name);
    const button = make("button", { type: "button", class: "row", "aria-current": "false" }, canvas, name, status, score);
    button.addEventListener("click", () => this.select(film));
    at("rows").append(make("li", {}, button));
    const row = { button, status, score, canvas, drawn: false };
    this.#rows.set(film.number, row);
    return row;
  }

  // A browser draws these quickly; a film that only the server can draw gets its small picture once it is looked at.
  #picture(film, row) {
    if (film.wrapped.drawn !== "browser") return;
    row.drawn = true;
    this.#drawing = this.#drawing.then(async () => {
      const bitmap = await open(film.wrapped);
      if (bitmap) thumbnail(bitmap, row.canvas);
      bitmap?.close();
    });
  }

  thumb(film, bitmap) {
    const row = this.#rows.get(film.number);
    if (!row || row.drawn) return;
    row.drawn = true;
    thumbnail(bitmap, row.canvas);
  }

  #step(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...this.#rows.values()].map(({ button }) => button);
    const next = buttons[buttons.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  }
}

function scoreParts(answer) {
  const { score, cut } = scoresOf(answer);
  return [`score ${score}`, make("span", { class: "row-cut" }, ` · cut-off ${cut}`)];
}

export function statusOf(film) {
  if (film.state === "waiting") return "waiting";
  if (film.state === "sending") return "being read …";
  if (film.state === "held") return `server busy, again in ${film.seconds} s`;
  if (film.state === "failed") return "error";
  if (film.state === "rejected") return `rejected: ${readable(film.answer.reason)}`;
  return SHORT[film.answer.decision];
}

// "12 films: 3 flagged, 8 not flagged, 1 error, 2 under way".
export function summarise(films) {
  const counts = new Map();
  for (const film of films) {
    const word = OPEN_STATES.includes(film.state) ? "under way" : film.state === "failed" ? "with an error" : film.state === "rejected" ? "rejected" : SHORT[film.answer.decision].toLowerCase();
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const said = [...counts].map(([word, count]) => `${count} ${word}`).join(", ");
  show("summary", `${films.length} ${films.length === 1 ? "film" : "films"}: ${said}`);
}
