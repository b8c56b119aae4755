// The grey scale of films with more than 8 bits: tbconv/contract/xray/grey.py, step by step, in float64 as there.

import { clamp, cumulative, rint, searchSorted } from "../numbers.js";
import { tooClose } from "../errors.js";

const LOW = 0.005;
const HIGH = 0.005;
export const USUAL_WHITE = 222 / 255;
const FILLED = 0.7;
const FILLED_COVERED = 0.62;
const BEYOND = 1.03;
type Share = readonly [number, number];
const OFFSET: Share = [0.1, 0.25];
const BRIGHT: Share = [0.75, 0.95];
const LIFT = 0.17;
const OFFSET_COVERED: Share = [0.4, 0.55];
const LEAST_DEPTH = 8;
const [MARKER, MARKER_GAP] = [0.15, 0.03];
const [PADDING, PADDING_GAP] = [0.6, 0.5];
const STRAY = 1e-4;
const LEAST_PIXELS = 1_000;
const ROUNDING = 1e-9; // grey levels: exp, log and pow of two C libraries differ in their last digit

/** The values that are shown black and white; black is the larger one where the polarity is inverted. */
export interface GreyScale {
  black: number;
  white: number;
  stated: boolean; // 0 and the last value of the stated depth: nothing was estimated
  inexact: boolean; // a logarithm or a power went into it
}

export function levelOf({ black, white }: GreyScale, value: number): number {
  return clamp((value - black) * (255 / (white - black)), 0, 255);
}

/**
 * Round levels to bytes; where they come of exp, log or pow and one lies at a half, no two C libraries need agree.
 * The middle of a range, exp(0), is the same in all of them.
 */
export function toBytes(levels: ArrayLike<number>, inexact: boolean): Uint8Array {
  const bytes = new Uint8Array(levels.length);
  for (let at = 0; at < levels.length; at++) {
    const level = levels[at];
    const atHalf = Math.abs(level - Math.floor(level) - 0.5) < ROUNDING;
    if (inexact && atHalf && level !== 127.5) throw tooClose("a grey level");
    bytes[at] = rint(level);
  }
  return bytes;
}

export interface Occurring {
  values: number[]; // ascending
  counts: number[];
}

interface Depth {
  depth: number; // bits that the file states
  signed?: boolean;
  inverted?: boolean; // the smallest value is shown white (MONOCHROME1)
  covered?: boolean; // padding or a shutter was left out
}

/** Find the values that are black and white. */
export function estimateScale(
  { values, counts }: Occurring,
  { depth, signed = false, inverted = false, covered = false }: Depth,
): GreyScale {
  const full = 2 ** (depth - (signed ? 1 : 0)) - 1;
  const least = signed ? -full - 1 : 0;
  if (depth <= LEAST_DEPTH || !values.length) {
    const [black, white] = inverted ? [full, least] : [least, full];
    return { black, white, stated: true, inexact: false };
  }
  const [low, high, padded] = robustEnds(values, counts, inverted);
  const way: Way = { offset: covered || padded ? OFFSET_COVERED : OFFSET, inexact: false };
  const ends = signed ? signedEnds(low, high, full, way, inverted) : turnedEnds(low, high, full, way, inverted);
  const stated = ends[0] === least && ends[1] === full;
  let [black, white] = inverted ? [ends[1], ends[0]] : ends;
  if (Math.abs(white - black) < 1) white = black + 1;
  return { black, white, stated, inexact: way.inexact };
}

interface Way {
  offset: Share;
  inexact: boolean;
}

function robustEnds(values: number[], counts: number[], inverted: boolean): [number, number, boolean] {
  if (inverted) [values, counts] = mirrored(values, counts);
  let keep = body(values, counts, MARKER, MARKER_GAP);
  [values, counts] = [values.slice(0, keep), counts.slice(0, keep)];
  keep = body(...mirrored(values, counts), PADDING, PADDING_GAP);
  const padded = keep < values.length;
  [values, counts] = [values.slice(-keep), counts.slice(-keep)];
  const below = cumulative(counts);
  const total = below[below.length - 1];
  const [low, high] = [LOW, 1 - HIGH].map((share) => values[searchSorted(below, share * total)]);
  return inverted ? [-high, -low, padded] : [low, high, padded];
}

const mirrored = (values: number[], counts: number[]): [number[], number[]] => [
  values.map((value) => -value).reverse(),
  counts.slice().reverse(),
];

/** How many values lie below the first wide and nearly empty gap above which `share` of the pixels lie. */
function body(values: number[], counts: number[], share: number, gap: number): number {
  const below = cumulative(counts);
  const total = below[below.length - 1];
  if (total < LEAST_PIXELS) return values.length;
  const start = searchSorted(below, (1 - share) * total);
  const low = values[searchSorted(below, LOW * total)];
  for (let at = start; at < values.length; at++) {
    const end = Math.min(searchSorted(below, below[at] + STRAY * total, "right"), values.length - 1);
    const wide = values[end] - values[at] > gap * Math.max(values[at] - low, 1);
    if (wide && total - below[at] > STRAY * total) return at + 1;
  }
  return values.length;
}

function turnedEnds(low: number, high: number, full: number, way: Way, inverted: boolean): [number, number] {
  if (!inverted) return endsIn(low, high, full, way);
  const ceiling = depthFilled(high, full, way, filledOf(way.offset));
  const [black, white] = endsIn(ceiling - high, ceiling - low, ceiling, way);
  return [ceiling - white, ceiling - black];
}

/** Black and white of a film whose robust range is low..high, stored in 0..full. */
export function endsIn(low: number, high: number, full: number, way: Way = { offset: OFFSET, inexact: false }): [number, number] {
  const white = depthFilled(high, full, way, filledOf(way.offset));
  const lifted = offsetOf(low / white, high / white, way.offset);
  const black = lifted * low;
  const usual = black + (high - black) / USUAL_WHITE;
  return [black, (1 - lifted) * white + lifted * usual];
}

function signedEnds(low: number, high: number, full: number, way: Way, inverted: boolean): [number, number] {
  if (low >= 0) return turnedEnds(low, high, full, way, inverted);
  const filled = filledOf(way.offset);
  const white = depthFilled(Math.max(-low, high), full, way, filled);
  const [dark, bright] = inverted ? [-high - 1, -low - 1] : [low, high];
  const [below, above] = [dark, bright].map((end) => (end / white + 1) / 2);
  const part = Math.max(offsetOf(below, above, way.offset), 1 - shareOf(above, [filled - 0.15, filled]));
  const stretched = dark + (bright - dark) / USUAL_WHITE;
  const ends: [number, number] = [(1 - part) * (-white - 1) + part * dark, (1 - part) * white + part * stretched];
  const both = inverted ? [-ends[1] - 1, -ends[0] - 1] : ends;
  const off = shareOf(-low / Math.max(high, 1), [0, 0.1]);
  const positive = turnedEnds(0, Math.max(high, 1), full, way, inverted);
  return [(1 - off) * positive[0] + off * both[0], (1 - off) * positive[1] + off * both[1]];
}

function depthFilled(high: number, full: number, way: Way, filled: number): number {
  let bits = LEAST_DEPTH;
  const least = 2 ** LEAST_DEPTH - 1;
  let last = 2 ** bits - 1;
  while (last < full && high > BEYOND * last) {
    const following = 2 ** (bits + 1) - 1;
    if (high < filled * following) {
      way.inexact = true;
      const between = Math.log(high / (BEYOND * last)) / Math.log((filled * following) / (BEYOND * last));
      return Math.min(full, last * (following / last) ** between);
    }
    bits += 1;
    last = 2 ** bits - 1;
  }
  return Math.min(Math.max(last, least), full);
}

function offsetOf(low: number, high: number, offset: Share): number {
  const lift = offset === OFFSET ? LIFT * shareOf(high, BRIGHT) : 0;
  return shareOf(low, [offset[0] + lift, offset[1] + lift]);
}

const filledOf = (offset: Share): number => (offset === OFFSET ? FILLED : FILLED_COVERED);

const shareOf = (value: number, ends: Share): number => Math.min(1, Math.max(0, (value - ends[0]) / (ends[1] - ends[0])));

/** The values of a histogram that occur, ascending. */
export function occurring(counts: ArrayLike<number>): Occurring {
  const found: Occurring = { values: [], counts: [] };
  for (let value = 0; value < counts.length; value++) {
    if (counts[value]) {
      found.values.push(value);
      found.counts.push(counts[value]);
    }
  }
  return found;
}
