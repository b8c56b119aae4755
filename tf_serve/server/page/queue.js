// The films of this sitting, in the order they came: two under way at a time, an error stays with its film.

import { screen } from "./api.js";
import { digest, wrap } from "./film.js";

const mebi = (bytes) => Math.ceil(bytes / 2 ** 20); // what the server calls MB, too
const AT_ONCE = 2; // in flight; the server has its own queue, and others use it too
export const OPEN_STATES = ["waiting", "sending", "held"]; // not finished yet

export class Queue {
  #underWay = 0;
  #next = 1;
  films = [];

  constructor(changed) {
    this.changed = changed; // called with the film of which something changed
  }

  // `most` is how many bytes the server takes; a larger film would be cut off while it is sent.
  add(files, which, most = Infinity) {
    const added = [...files].map((file) => ({
      number: this.#next++, // of this sitting
      name: file.name, // shown here, sent nowhere
      file,
      which, // the model of the request
      most,
      state: "waiting", // waiting | sending | held | ok | rejected | failed
      answer: null,
      error: null,
      seconds: 0, // until a busy server is tried again
    }));
    this.films.push(...added);
    for (const film of added) this.changed(film);
    this.#go();
    return added;
  }

  again(film) {
    Object.assign(film, { state: "waiting", error: null });
    this.changed(film);
    this.#go();
  }

  clear() {
    this.films = []; // what is under way ends unseen
  }

  get open() {
    return this.films.filter((film) => OPEN_STATES.includes(film.state)).length;
  }

  get answered() {
    return this.films.filter((film) => film.answer);
  }

  async #go() {
    while (this.#underWay < AT_ONCE) {
      const film = this.films.find(({ state }) => state === "waiting");
      if (!film) return;
      this.#underWay++;
      this.#ask(film).finally(() => {
        this.#underWay--;
        this.#go();
      });
    }
  }

  async #ask(film) {
    this.#become(film, { state: "sending" });
    try {
      if (film.file.size > film.most) throw new Error(`The film has ${mebi(film.file.size)} MB, and may have ${mebi(film.most)}.`);
      film.wrapped ??= await wrap(film.file);
      const answer = await screen(film.wrapped.blob, film.which, (seconds) => this.#become(film, { state: "held", seconds }));
      film.sha256 = await digest(film.wrapped.blob);
      this.#become(film, { state: answer.status, answer });
    } catch (error) {
      this.#become(film, { state: "failed", error: { text: error.message, retry: error.retry ?? false, final: error.final ?? false } });
    }
  }

  #become(film, change) {
    Object.assign(film, change);
    this.changed(film);
  }
}
