// The score from 0 to 100 on a line with its cut-off; steps are log-odds, where a cut-off near 100 can still be seen.

import { make } from "./dom.js";
import { bandWords, besideCut, scoresOf } from "./words.js";

const TICKS = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999];
const REACH = 7; // log-odds each way: 0.1 % to 99.9 %
const ROOM = 0.7; // log-odds beyond what has to be seen

const logOdds = (probability) => Math.log(probability / (1 - probability));

export function drawScale(answer) {
  const { slope, offset } = answer.calibration;
  const place = (margin) => slope * margin + offset; // of a margin, in log-odds
  const [cut, here] = [place(answer.threshold), place(answer.margin)];
  const half = Math.abs(slope) * (answer.indeterminate_band ?? 0);
  const reach = Math.max(REACH, Math.abs(cut) + half + ROOM);
  const across = (odds) => Math.min(100, Math.max(0, (100 * (odds + reach)) / (2 * reach)));
  const put = (node, odds) => {
    node.style.setProperty("--at", `${across(odds)}%`);
    return node;
  };
  const span = (name, from, to) => {
    const node = put(make("span", { class: name }), from);
    node.style.setProperty("--span", `${across(to) - across(from)}%`);
    return node;
  };
  const track = make("div", { class: "track" }, span("above", cut, reach), half ? span("band", cut - half, cut + half) : null);
  const ticks = TICKS.filter((share) => Math.abs(logOdds(share)) <= reach).map((share) =>
    put(make("span", { class: "tick" }, `${100 * share}`), logOdds(share)),
  );
  const threshold = put(make("span", { class: "cut-name" }, `cut-off ${scoresOf(answer).cut}`), cut);
  threshold.classList.toggle("late", across(cut) > 60);
  return make(
    "div",
    { class: `scale ${answer.decision}`, role: "img", "aria-label": describe(answer, half) },
    threshold,
    make("div", { class: "rail" }, track, put(make("span", { class: "cut" }), cut), put(make("span", { class: "needle" }), here)),
    make("div", { class: "ticks" }, ...ticks),
  );
}

function describe(answer, half) {
  const band = half ? `; from ${bandWords(answer)} nothing is decided` : "";
  return `Score ${scoresOf(answer).score} ${besideCut(answer)}${band}`;
}
