// The gate before the network: what is plainly no chest film gets a reason, not a probability (tf_serve/gate/rules.py).
//
// numpy works in float32 there and this in float64; where a score lies within their rounding of a bound, the film is
// refused as unanswerable here rather than judged by chance.

import { tooClose } from "./errors.js";
import { deviationOf, unpacked } from "./numbers.js";
import { resize } from "./film/resize.js";
import type { Grey } from "./film/resize.js";
import type { GateRules, LikenessWeights, OpenedFilm } from "./types.js";

const SIDE = 64;
const CELLS = 8;
const DIRECTIONS = 8;
const GREYS = 16;
const EDGES = CELLS * CELLS * DIRECTIONS;
const SAMPLED = 4 * SIDE;
const FLAT = 4;
const ROUNDING = 1e-3; // logits; the scores of 256 films differed from numpy's by less than a tenth of it

/** The gate of one folder: its rules, and its weights, unpacked once. */
export class Gate {
  private readonly hidden: Float64Array;
  private readonly bias: Float64Array;
  private readonly output: Float64Array;

  constructor(
    readonly stated: GateRules,
    private readonly likeness: LikenessWeights,
  ) {
    this.hidden = unpacked(likeness.hidden);
    this.bias = unpacked(likeness.hidden_bias);
    this.output = unpacked(likeness.output);
  }

  /** Return the code of the reason why a picture is no upright frontal chest film, or null. */
  refuse({ grey, chroma }: OpenedFilm): string | null {
    const { level, rules } = this.stated;
    if (level === "off") return null;
    const [shorter, longer] = [Math.min(grey.width, grey.height), Math.max(grey.width, grey.height)];
    const small = thumbnail(grey);
    if (shorter < rules.min_side) return "too_small";
    if (longer > rules.max_aspect * shorter) return "wrong_shape";
    if (chroma > rules.max_chroma) return "colour_photograph";
    const contrast = deviationOf(small);
    if (Math.abs(contrast - rules.min_contrast) < 1e-9) throw tooClose("the picture's contrast");
    if (contrast < rules.min_contrast) return "blank";
    return level === "basic" ? null : this.byLikeness(describe(small));
  }

  /** The score of a film, a logit: the higher, the more like an upright frontal film. */
  score(grey: Grey): number {
    return this.scoreOf(describe(thumbnail(grey)));
  }

  private byLikeness(numbers: Float64Array): string | null {
    const bound = this.likeness.threshold;
    const { sure } = this.stated.rules;
    const own = this.scoreOf(numbers);
    if (Math.abs(own - bound) < ROUNDING) throw tooClose("the picture's likeness to a chest film");
    if (own > bound) return null;
    const turned = [0, 1, 2, 3].map((quarters) => turn(numbers, quarters));
    const scores = [...turned, ...turned.map(invert)].map((one) => this.scoreOf(one));
    const best = scores.indexOf(Math.max(...scores));
    const reasonOf = (at: number) => (at === 0 ? "not_a_chest_film" : at < 4 ? "turned" : "inverted");
    if (Math.abs(scores[best] - bound - sure) < ROUNDING) throw tooClose("the picture's likeness to a turned film");
    if (scores[best] < bound + sure) return "not_a_chest_film";
    const rivals = scores.flatMap((one, at) => (scores[best] - one < ROUNDING ? [reasonOf(at)] : []));
    if (new Set(rivals).size > 1) throw tooClose("the picture's likeness to a turned film");
    return reasonOf(best);
  }

  private scoreOf(numbers: Float64Array): number {
    const units = this.bias.slice();
    for (let at = 0; at < numbers.length; at++) {
      for (let unit = 0; unit < units.length; unit++) units[unit] += numbers[at] * this.hidden[at * units.length + unit];
    }
    return units.reduce((sum, unit, at) => sum + Math.max(unit, 0) * this.output[at], this.likeness.output_bias);
  }
}

export function thumbnail({ pixels, width, height }: Grey): Uint8Array {
  const [down, across] = [height, width].map((side) => Math.max(1, Math.floor(side / SAMPLED)));
  const [w, h] = [Math.ceil(width / across), Math.ceil(height / down)];
  const thinned = new Uint8Array(w * h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) thinned[y * w + x] = pixels[y * down * width + x * across];
  return resize({ pixels: thinned, width: w, height: h }, SIDE, SIDE).pixels;
}

function describe(small: Uint8Array): Float64Array {
  const mean = small.reduce((sum, grey) => sum + grey, 0) / small.length;
  const contrast = deviationOf(small);
  const greys = Float64Array.from(small, (grey) => (grey - mean) / (contrast + FLAT));
  const numbers = new Float64Array(EDGES + GREYS * GREYS);
  edgesInto(numbers, greys);
  cellMeans(greys, GREYS).forEach((mean, at) => (numbers[EDGES + at] = Math.min(3, Math.max(-3, mean))));
  return numbers;
}

function edgesInto(numbers: Float64Array, greys: Float64Array): void {
  const strength = Array.from({ length: DIRECTIONS }, () => new Float64Array(SIDE * SIDE));
  const compass = Array.from({ length: DIRECTIONS }, (_, at) => {
    const angle = (at * 2 * Math.PI) / DIRECTIONS;
    return [Math.fround(Math.cos(angle)), Math.fround(Math.sin(angle))];
  });
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const at = y * SIDE + x;
      const dx = x > 0 && x < SIDE - 1 ? greys[at + 1] - greys[at - 1] : 0;
      const dy = y > 0 && y < SIDE - 1 ? greys[at + SIDE] - greys[at - SIDE] : 0;
      const steepness = Math.sqrt(dx * dx + dy * dy);
      compass.forEach(([cx, cy], direction) => {
        const along = Math.max(cx * dx + cy * dy, 0);
        strength[direction][at] = (along * along) / (steepness + 1e-3);
      });
    }
  }
  strength.forEach((map, direction) => numbers.set(cellMeans(map, CELLS), direction * CELLS * CELLS));
  let sum = 0;
  for (let at = 0; at < EDGES; at++) sum += numbers[at];
  const mean = sum / EDGES;
  for (let at = 0; at < EDGES; at++) numbers[at] = Math.sqrt(numbers[at] / (mean + 1e-3));
}

function cellMeans(map: Float64Array, cells: number): Float64Array {
  const width = SIDE / cells;
  const means = new Float64Array(cells * cells);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) means[Math.floor(y / width) * cells + Math.floor(x / width)] += map[y * SIDE + x];
  }
  return means.map((sum) => sum / (width * width));
}

/** The description that the picture would have turned by quarters anticlockwise. */
function turn(numbers: Float64Array, quarters: number): Float64Array {
  const out = new Float64Array(numbers.length);
  const shift = (quarters * DIRECTIONS) / 4;
  for (let direction = 0; direction < DIRECTIONS; direction++) {
    const from = (direction + shift) % DIRECTIONS;
    out.set(rotated(numbers.subarray(from * CELLS * CELLS, (from + 1) * CELLS * CELLS), CELLS, quarters), direction * CELLS * CELLS);
  }
  out.set(rotated(numbers.subarray(EDGES), GREYS, quarters), EDGES);
  return out;
}

function rotated(map: Float64Array, side: number, quarters: number): Float64Array {
  let found = Float64Array.from(map);
  for (let turned = 0; turned < quarters; turned++) {
    const before = found;
    // rot90 anticlockwise: row y, column x comes of row x, column side - 1 - y
    found = Float64Array.from(before, (_, at) => before[(at % side) * side + side - 1 - Math.floor(at / side)]);
  }
  return found;
}

function invert(numbers: Float64Array): Float64Array {
  const out = new Float64Array(numbers.length);
  const shift = DIRECTIONS / 2;
  for (let direction = 0; direction < DIRECTIONS; direction++) {
    const from = (direction - shift + DIRECTIONS) % DIRECTIONS;
    out.set(numbers.subarray(from * CELLS * CELLS, (from + 1) * CELLS * CELLS), direction * CELLS * CELLS);
  }
  for (let at = EDGES; at < numbers.length; at++) out[at] = -numbers[at];
  return out;
}
