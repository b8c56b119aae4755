// From the network's outputs to the answer: decision, probability, score, place of the evidence (tf_serve/predict.py).

import { pyRound } from "./numbers.js";
import type { Grey } from "./film/resize.js";
import type { Answer, AnswerRules, Decision, Outputs } from "./types.js";

const STRONG = 0.5;
const ONE_SIDED = 2 / 3;
const ZONES = ["upper", "middle", "lower"];
export const CELLS = 7;

/** The logit of positive minus the logit of negative, in float32: what decisions compare. */
export const marginOf = ({ logits }: Outputs): number => Math.fround(logits[1] - logits[0]);

export function answerOf(outputs: Outputs, grey: Grey, rules: AnswerRules, limits: string[]): Answer {
  const margin = marginOf(outputs);
  const decision = decide(margin, rules);
  const [side, zone] = locate(outputs.evidence, filmBox(grey));
  const map = Array.from({ length: CELLS }, (_, row) => Array.from(outputs.evidence.subarray(row * CELLS, (row + 1) * CELLS)));
  return {
    status: "ok",
    reason: null,
    probability: pyRound(probabilityOf(margin, rules), 4),
    margin,
    score: scoreOf(margin, rules),
    threshold: rules.threshold,
    threshold_score: rules.threshold_score,
    indeterminate_band: rules.indeterminate_band,
    decision,
    decision_words: rules.decision_words[decision],
    evidence: { map, side, zone, href: null },
    calibration: rules.calibration,
    model: rules.model,
    limits,
  };
}

export function rejection(reason: string, explanation: string, rules: AnswerRules, limits: string[]): Answer {
  return {
    status: "rejected",
    reason,
    explanation,
    probability: null,
    margin: null,
    score: null,
    threshold: null,
    threshold_score: null,
    indeterminate_band: null,
    decision: null,
    decision_words: null,
    evidence: null,
    calibration: rules.calibration,
    model: rules.model,
    limits,
  };
}

const isPositive = (margin: number, { threshold }: AnswerRules): boolean => margin >= Math.fround(threshold); // float32, as numpy compares

function decide(margin: number, rules: AnswerRules): Decision {
  if (rules.indeterminate_band && Math.abs(margin - rules.threshold) <= rules.indeterminate_band) return "indeterminate";
  return isPositive(margin, rules) ? "refer" : "not_flagged";
}

/** The calibrated probability of a margin, 0..1; from the margin, for an int8 file's own has steps of 1/256. */
export function probabilityOf(margin: number, { calibration: { slope, offset } }: AnswerRules): number {
  const exponent = Math.min(700, Math.max(-700, -(slope * margin + offset)));
  return 1 / (1 + Math.exp(exponent));
}

/** A score of 0 to 100, rounded but never across the cut-off (tbconv/contract/manifest.py, `DecisionRule.score`). */
function scoreOf(margin: number, rules: AnswerRules): number {
  const { score_digits: digits, threshold_score: cutoff } = rules;
  const rounded = pyRound(100 * probabilityOf(margin, rules), digits);
  if (isPositive(margin, rules)) return Math.max(rounded, cutoff);
  return Math.min(rounded, pyRound(cutoff - Number(`1e-${digits}`), digits));
}

type Box = { left: number; top: number; right: number; bottom: number };

function filmBox({ width, height }: Grey): Box {
  const side = Math.max(width, height);
  const [left, top] = [(side - width) >> 1, (side - height) >> 1];
  return { left: left / side, top: top / side, right: (left + width) / side, bottom: (top + height) / side };
}

/** The patient's side and the zone of the strongest positive cells; null where none speaks for the positive class. */
function locate(evidence: Float32Array, { left, top, right, bottom }: Box): [string | null, string | null] {
  const places = Array.from({ length: CELLS }, (_, at) => (at + 0.5) / CELLS);
  const y = places.map((place) => (place - top) / (bottom - top));
  const x = places.map((place) => (place - left) / (right - left));
  const inside = (row: number, column: number) => y[row] > 0 && y[row] < 1 && x[column] > 0 && x[column] < 1;
  const weights = evidence.map((value, at) => (inside(Math.floor(at / CELLS), at % CELLS) ? value : 0));
  const bound = Math.fround(STRONG * Math.max(...weights));
  const strong = weights.map((value) => (value >= bound ? Math.max(value, 0) : 0));
  if (!strong.some((value) => value !== 0)) return [null, null];
  const columns = new Float32Array(CELLS);
  const rows = new Float32Array(CELLS);
  strong.forEach((value, at) => {
    columns[at % CELLS] += value;
    rows[Math.floor(at / CELLS)] += value;
  });
  return [sideOf(columns, x), zoneOf(rows, y)];
}

function sideOf(weights: Float32Array, x: number[]): string {
  let onLeft = 0;
  const total = new Float32Array(1);
  weights.forEach((weight, at) => {
    const middle = Math.abs(x[at] - 0.5) <= 1e-8 + 1e-5 * 0.5;
    onLeft += weight * (middle ? 0.5 : Number(x[at] < 0.5));
    total[0] += weight;
  });
  const share = onLeft / total[0];
  return share >= ONE_SIDED ? "right" : share <= 1 - ONE_SIDED ? "left" : "both";
}

function zoneOf(weights: Float32Array, y: number[]): string {
  const sums = ZONES.map(() => 0);
  weights.forEach((weight, at) => {
    sums[Math.min(ZONES.length - 1, Math.max(0, Math.trunc(y[at] * ZONES.length)))] += weight;
  });
  return ZONES[sums.indexOf(Math.max(...sums))];
}
