// What a flag is worth where the disease is rare: PPV and NPV from sensitivity, specificity and their 95 % intervals.

import { at, make, makeSvg, show } from "./dom.js";
import { interval, labelled, percent } from "./words.js";

const SHARES = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5];
const PEOPLE = 100;
const COLUMNS = 25;

// Each value {value, low, high}; bounds are those of the two intervals put in together: at least 90 % sure, as in
// torch_train/evaluation/statistics.py.
export function predictive({ sensitivity, specificity }, prevalence) {
  const [ill, well] = [prevalence, 1 - prevalence];
  const share = (right, wrong) => (right + wrong > 0 ? right / (right + wrong) : null);
  const ppv = (end) => share(sensitivity[end] * ill, (1 - specificity[end]) * well);
  const npv = (end) => share(specificity[end] * well, (1 - sensitivity[end]) * ill);
  const three = (rule) => ({ value: rule("value"), low: rule("low"), high: rule("high") });
  return { ppv: three(ppv), npv: three(npv) };
}

// The film's probability moved from the share of ill among the calibration films to that of the people screened.
export function reweighed(answer, prevalence) {
  const { positives, negatives, slope, offset } = answer.calibration;
  if (!positives || !negatives) return null;
  const odds = slope * answer.margin + offset + Math.log(prevalence / (1 - prevalence)) - Math.log(positives / negatives);
  return 1 / (1 + Math.exp(-odds));
}

export class Prevalence {
  #answer = null;
  #model = null;

  constructor() {
    const slider = at("prevalence");
    slider.max = SHARES.length - 1;
    slider.addEventListener("input", () => this.draw());
  }

  get share() {
    return SHARES[at("prevalence").value];
  }

  explain(answer, model) {
    this.#answer = answer;
    this.#model = model;
    this.draw();
  }

  draw() {
    const said = `${+(100 * this.share).toPrecision(3)} %, 1 in ${Math.round(1 / this.share)}`;
    show("prevalence-now", said);
    at("prevalence").setAttribute("aria-valuetext", said);
    if (!this.#answer) return;
    if (!this.#model) return at("prevalence-says").replaceChildren(unknown());
    const name = labelled(this.#model.labels.positive);
    show("prevalence-name", `How many of the people screened have ${name}:`);
    at("prevalence-says").replaceChildren(...this.#lines(name));
  }

  #lines(name) {
    if (!known(this.#model)) return [unknown()];
    const { operating } = this.#model;
    const { ppv, npv } = predictive(operating, this.share);
    const moved = reweighed(this.#answer, this.share);
    const { decision } = this.#answer;
    const [where, fewer, more] = elsewhere(this.#model);
    return [
      worth("PPV", "positive predictive value", ppv, decision === "refer", ({ low }) => `Of 100 people flagged, expect ${people(low, 100)} or more to have ${name}, ${where}${fewer}.`, dots(ppv)),
      worth("NPV", "negative predictive value", npv, decision === "not_flagged", ({ low }) => `Of 1,000 people not flagged, up to ${people(1 - low, 1000)} may have it all the same, ${where}${more}.`),
      moved === null ? null : make("p", { class: "moved" }, `With this share instead of the calibration films' own, this film's probability would be ${percent(moved)}, ${where}.`),
      make(
        "p",
        { class: "quiet" },
        `From sensitivity ${interval(operating.sensitivity)} and specificity ${interval(operating.specificity)}, with their `,
        `95 % intervals, on ${operating.of}.`,
      ),
    ].filter(Boolean);
  }
}

const unknown = () => make("p", { class: "quiet" }, "No sensitivity and specificity are known of the file that answered.");

export const known = (model) => Boolean(model?.operating && model.operating.sensitivity.value !== null && model.operating.specificity.value !== null);

// Which films the figures hold for, and what to expect of others: fewer of those flagged ill, more of the others.
export function elsewhere({ site }) {
  if (site) return ["on films like this site's own that were measured", "", ""];
  return ["on films like the training films", "; elsewhere expect fewer", "; elsewhere expect more"];
}

// "at least 24 %": the lower bound leads, since the value flatters where few films were counted.
export const atLeast = ({ low }) => (low === null ? "not known" : `at least ${inWhole(low)} %`);
export const asCounted = ({ value, low, high }) => (low === null || high === null ? "" : `counted ${inWhole(value)} %, 95 % interval ${inWhole(low)} to ${inWhole(high)} %`);

function worth(short, said, figure, applies, sentence, picture = null) {
  return make(
    "div",
    { class: applies ? "worth applies" : "worth" },
    make("p", { class: "worth-figure" }, make("abbr", { title: said }, short), " ", make("strong", {}, atLeast(figure)), " ", make("span", { class: "quiet" }, asCounted(figure))),
    figure.low === null ? null : make("p", {}, sentence(figure)),
    picture,
  );
}

// Percent with what a reader needs near 0 and 100.
export function inWhole(share) {
  const value = 100 * share;
  if (value === 100 || value === 0) return value.toFixed(0);
  return value > 99 ? Math.min(99.99, value).toFixed(2) : value < 10 ? value.toFixed(1) : value.toFixed(0);
}

const people = (share, of) => (share * of < 10 ? +(share * of).toPrecision(2) : Math.round(share * of));
// A hundred people who were flagged: full where even the lower bound has them ill, pale up to the upper bound.
function dots({ low, high }) {
  if (low === null || high === null) return null;
  const [surely, perhaps] = [Math.round(PEOPLE * low), Math.round(PEOPLE * high)];
  const circles = Array.from({ length: PEOPLE }, (_, number) =>
    makeSvg("circle", {
      cx: 5 + 10 * (number % COLUMNS),
      cy: 5 + 10 * Math.floor(number / COLUMNS),
      r: 3.6,
      class: number < surely ? "ill" : number < perhaps ? "maybe" : "well",
    }),
  );
  return makeSvg("svg", { viewBox: `0 0 ${10 * COLUMNS} ${(10 * PEOPLE) / COLUMNS}`, class: "people", "aria-hidden": "true" }, ...circles);
}
