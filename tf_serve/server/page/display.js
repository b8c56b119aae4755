// How a film is shown: zoom and place, level and window of its greys, by buttons, keys, pointer and fingers.

import { WHOLE } from "./map.js";
import { at, show } from "./dom.js";

const MOST_ZOOM = 8;
const ZOOM_STEP = 1.5;
const TWICE_ZOOM = 2.5; // with a double click
const TWICE_MS = 400;
const TWICE_PIXELS = 8;
const MOVE = 0.15; // of what is shown, with an arrow key
const GREY_STEP = 5; // percent of the greys, with a key
const GREY_DRAG = 1; // percent of the greys a pixel; sliders keep whole ones
const AS_IT_CAME = { level: 50, window: 100, inverted: false };

const distance = (one, other) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

export class Display {
  #shown = WHOLE;
  #inverted = false;
  #pointers = new Map(); // that press on the picture, by their number
  #pressed = null; // the last press, if it may be the first of two

  constructor(changed) {
    this.changed = changed; // called when another part of the film is to be drawn
    at("zoom-in").addEventListener("click", () => this.zoom(ZOOM_STEP));
    at("zoom-out").addEventListener("click", () => this.zoom(1 / ZOOM_STEP));
    at("invert").addEventListener("click", () => this.invert());
    at("as-it-came").addEventListener("click", () => this.reset());
    for (const id of ["level", "window"]) at(id).addEventListener("input", () => this.#greys());
    this.#listen(at("frame"));
    this.reset();
  }

  get shown() {
    return this.#shown;
  }

  get keys() {
    return {
      "+": () => this.zoom(ZOOM_STEP),
      "=": () => this.zoom(ZOOM_STEP), // the same key without shift
      "-": () => this.zoom(1 / ZOOM_STEP),
      0: () => this.reset(),
      i: () => this.invert(),
      "[": () => this.#turn("window", -GREY_STEP),
      "]": () => this.#turn("window", GREY_STEP),
      ",": () => this.#turn("level", -GREY_STEP),
      ".": () => this.#turn("level", GREY_STEP),
    };
  }

  reset() {
    const { level, window, inverted } = AS_IT_CAME;
    Object.assign(at("level"), { value: level });
    Object.assign(at("window"), { value: window });
    this.#inverted = inverted;
    this.#greys();
    this.#show(WHOLE);
  }

  invert() {
    this.#inverted = !this.#inverted;
    this.#greys();
  }

  // Enlarge around a place of the picture, its middle where none is named.
  zoom(factor, place = { x: 0.5, y: 0.5 }) {
    const { zoom, x, y } = this.#shown;
    const next = clamp(zoom * factor, 1, MOST_ZOOM);
    const moved = 1 / zoom - 1 / next; // what lies under the place stays there
    this.#show({ zoom: next, x: x + (place.x - 0.5) * moved, y: y + (place.y - 0.5) * moved });
  }

  #move(right, down) {
    const { zoom, x, y } = this.#shown;
    this.#show({ zoom, x: x + right / zoom, y: y + down / zoom });
  }

  #show({ zoom, x, y }) {
    const half = 0.5 / zoom;
    this.#shown = { zoom, x: clamp(x, half, 1 - half), y: clamp(y, half, 1 - half) };
    show("zoom-now", `${Math.round(100 * zoom)} %`);
    at("frame").classList.toggle("enlarged", zoom > 1);
    this.changed();
  }

  #turn(id, step) {
    at(id).value = Number(at(id).value) + step;
    this.#greys();
  }

  // A film's greys between level - window / 2 and level + window / 2 fill black to white.
  #greys() {
    const [level, window] = ["level", "window"].map((id) => at(id).value / 100);
    const [slope, intercept] = this.#inverted ? [-1 / window, 0.5 + level / window] : [1 / window, 0.5 - level / window];
    for (const part of at("greys").firstElementChild.children) {
      part.setAttribute("slope", slope);
      part.setAttribute("intercept", intercept);
    }
    for (const id of ["level", "window"]) show(`${id}-now`, `${at(id).value} %`);
    at("invert").setAttribute("aria-pressed", String(this.#inverted));
    const plain = !this.#inverted && level === AS_IT_CAME.level / 100 && window === AS_IT_CAME.window / 100;
    at("film").classList.toggle("other-greys", !plain);
  }

  #listen(frame) {
    frame.addEventListener("keydown", (event) => {
      const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
      if (right === undefined || this.#shown.zoom === 1) return;
      event.preventDefault();
      this.#move(MOVE * right, MOVE * down);
    });
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !document.fullscreenElement) return; // the page scrolls; a pinch comes with ctrl
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.#placeOf(event));
    }, { passive: false });
    frame.addEventListener("contextmenu", (event) => event.preventDefault()); // the right button turns level and window
    frame.addEventListener("pointerdown", (event) => {
      this.#press(event);
      this.#pointers.set(event.pointerId, event);
      frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, ({ pointerId }) => this.#pointers.delete(pointerId));
  }

  // Two presses at one place, of a mouse or a finger: enlarge it, or show the whole film again.
  #press(event) {
    const before = this.#pressed;
    const again = before && event.timeStamp - before.timeStamp < TWICE_MS && distance(before, event) < TWICE_PIXELS;
    this.#pressed = again || event.button !== 0 ? null : event;
    if (!again) return;
    if (this.#shown.zoom > 1) this.#show(WHOLE);
    else this.zoom(TWICE_ZOOM, this.#placeOf(event));
  }

  // One pointer moves the enlarged picture, with shift or the right button it turns the greys; two enlarge.
  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    this.#pointers.set(event.pointerId, event);
    if (this.#pressed && distance(this.#pressed, event) >= TWICE_PIXELS) this.#pressed = null;
    const [right, down] = [event.clientX - before.clientX, event.clientY - before.clientY];
    const { width, height } = at("film").getBoundingClientRect();
    if (this.#pointers.size === 2) {
      const [other] = [...this.#pointers.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
      this.zoom(distance(event, other) / Math.max(1, distance(before, other)), this.#placeOf(event));
    } else if (event.shiftKey || event.buttons & 2) {
      this.#turn("window", GREY_DRAG * right);
      this.#turn("level", -GREY_DRAG * down);
    } else this.#move(-right / width, -down / height);
  }

  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = at("film").getBoundingClientRect();
    return { x: (clientX - left) / width, y: (clientY - top) / height };
  }
}
