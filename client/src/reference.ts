// How a film looks beside the training films, in numbers (tbconv/contract/xray/reference.py): a limit, never silence.
// numpy sums in float32 there; where a number lies within that rounding of its bound, the film is not answered here.

import { tooClose } from "./errors.js";
import { countBytes, cumulative, deviationOf, searchSorted, unpacked } from "./numbers.js";
import { resize } from "./film/resize.js";
import type { GreyReference } from "./types.js";

const PERCENTILES = [1, 5, 25, 50, 75, 95, 99];
const [NARROW, TRIANGLE, OUTER] = [0.014, 0.11, 0.2];
const [BLACK, WHITE, STEEP, LINE] = [3, 250, 90, 20];
const SMALL = 1e-4;
const SIDES = 28;
const ROUNDING = 1e-4; // of a bound

type Map2 = (row: number, column: number) => number;

/** The numbers of the training films, unpacked once. */
export class Reference {
  private readonly arrays: Record<"middle" | "low" | "high" | "mean" | "whitening" | "most" | "sides", Float64Array>;

  constructor(private readonly stated: GreyReference) {
    const { middle, low, high, mean, whitening, most, sides } = stated;
    const packed = Object.entries({ middle, low, high, mean, whitening, most, sides });
    this.arrays = Object.fromEntries(packed.map(([name, array]) => [name, unpacked(array)])) as typeof this.arrays;
  }

  /** What an answer has to say of how its film looks and how near its margin came to the threshold. */
  limits(film: Uint8Array, side: number, margin: number, threshold: number): string[] {
    const { words, least_side } = this.stated;
    const said: string[] = [];
    const kinds = this.unlike(describeFilm(film, side));
    if (kinds.length) said.push(`${words.unlike[0]}${kinds.join(", ")}${words.unlike[1]}`);
    const sides = sideScore(film, side, this.arrays.sides);
    if (Math.abs(sides - least_side) < ROUNDING * Math.max(1, Math.abs(least_side))) throw tooClose("whether the film is mirrored");
    if (sides < least_side) said.push(words.mirrored);
    if (words.near && Math.abs(margin - threshold) <= words.near.margin) said.push(words.near.limit);
    return said;
  }

  private unlike(numbers: number[]): string[] {
    const { middle, low, high, mean, whitening, most: bounds } = this.arrays;
    const deviations = numbers.map((value, at) => {
      const away = value - middle[at];
      return away > 0 ? away / high[at] : -away / low[at];
    });
    const away = numbers.map((value, at) => value - mean[at]);
    let squares = 0;
    for (let column = 0; column < numbers.length; column++) {
      let sum = 0;
      for (let row = 0; row < numbers.length; row++) sum += away[row] * whitening[row * numbers.length + column];
      squares += Math.min(1e6, Math.max(-1e6, sum)) ** 2;
    }
    const most = Math.max(...deviations);
    const beyond = Math.max(most / bounds[0], Math.sqrt(squares / numbers.length) / bounds[1]);
    if (Math.abs(beyond - 1) < ROUNDING) throw tooClose("how unlike the training films the film is");
    if (beyond <= 1) return [];
    const bound = Math.min(bounds[0], most);
    if (bound < most && deviations.some((one) => Math.abs(one - bound) < ROUNDING * bound)) {
      throw tooClose("in what the film is unlike the training films");
    }
    return [...new Set(this.stated.words.kinds.filter((_, at) => deviations[at] >= bound))];
  }
}

/** The numbers of a model input; the names of what they are of stand in gate.json. */
export function describeFilm(film: Uint8Array, side: number): number[] {
  const at: Map2 = (row, column) => film[row * side + column];
  const across: Map2 = (row, column) => Math.abs(at(row, column + 1) - at(row, column)); // [side, side - 1]
  const along: Map2 = (row, column) => Math.abs(at(row + 1, column) - at(row, column)); // [side - 1, side]
  const counts = countBytes(film);
  const used = Math.log(counts.reduce((sum, count) => sum + Number(count > 0), 0) / 256);
  const total = film.length;
  const upTo = (level: number) => counts.reduce((sum, count, grey) => sum + (grey <= level ? count : 0), 0) / total;
  const from = (level: number) => counts.reduce((sum, count, grey) => sum + (grey >= level ? count : 0), 0) / total;
  const greys = [...percentiles(counts, PERCENTILES), deviationOf(film), logShare(upTo(BLACK)), logShare(from(WHITE)), used];
  const edges = [
    Math.log(meanOver(side, side - 1, across) + 0.1),
    Math.log(meanOver(side - 1, side, along) + 0.1),
    ...coarserSteps(film, side),
    ...percentiles(roughness(side, at), [50, 99]).map((value) => Math.log(value / 4 + 0.1)),
  ];
  const grid = gridOf(side, (column) => meanOver(side, 1, (row) => across(row, column))) +
    gridOf(side, (row) => meanOver(1, side, (_, column) => along(row, column)));
  const width = Math.max(1, pyRoundHalfEven(NARROW * side));
  const leg = Math.max(2, pyRoundHalfEven(TRIANGLE * side));
  const strips: [number, number, Map2][] = [
    [width, side, at],
    [width, side, (row, column) => at(side - width + row, column)],
    [side, width, at],
    [side, width, (row, column) => at(row, side - width + column)],
  ];
  const borders = strips.flatMap(([h, w, map]) => {
    const mean = meanOver(h, w, map);
    return [mean, Math.log(Math.sqrt(meanOver(h, w, (row, column) => (map(row, column) - mean) ** 2)) + 1)];
  });
  const turned: Map2[] = [
    at,
    (row, column) => at(side - 1 - row, column),
    (row, column) => at(row, side - 1 - column),
    (row, column) => at(side - 1 - row, side - 1 - column),
  ];
  const corners = turned.map((map) => logShare(cornerShare(leg, map)));
  const jumps = [
    logShare(largest(side - 1, (column) => meanOver(side, 1, (row) => Number(across(row, column) > LINE)))),
    logShare(largest(side - 1, (row) => meanOver(1, side, (_, column) => Number(along(row, column) > LINE)))),
  ];
  return [...greys, ...edges, grid, ...borders, ...corners, ...jumps, ...writing(film, side, at, across, along).map(logShare)];
}

const logShare = (share: number): number => Math.log(share + SMALL * 10);

function pyRoundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

function meanOver(rows: number, columns: number, map: Map2): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) sum += map(row, column);
  return sum / (rows * columns);
}

const largest = (n: number, of: (at: number) => number): number => Math.max(...Array.from({ length: n }, (_, at) => of(at)));

function percentiles(counts: ArrayLike<number>, wanted: number[]): number[] {
  const until = cumulative(counts);
  return wanted.map((one) => {
    const place = (one / 100) * (until[until.length - 1] - 1);
    const low = searchSorted(until, Math.floor(place), "right");
    const high = searchSorted(until, Math.ceil(place), "right");
    return low + (high - low) * (place - Math.floor(place));
  });
}

/** The mean step between neighbours at 1/2, 1/4 and 1/8 of the side. */
function coarserSteps(film: Uint8Array, side: number): number[] {
  let [half, length] = [Float64Array.from(film), side];
  return [1, 2, 3].map(() => {
    const to = length >> 1;
    const smaller = new Float64Array(to * to);
    for (let row = 0; row < to; row++) {
      for (let column = 0; column < to; column++) {
        const at = 2 * row * length + 2 * column;
        smaller[row * to + column] = (half[at] + half[at + length] + half[at + 1] + half[at + length + 1]) / 4;
      }
    }
    [half, length] = [smaller, to];
    const value: Map2 = (row, column) => smaller[row * to + column];
    const down = meanOver(to - 1, to, (row, column) => Math.abs(value(row + 1, column) - value(row, column)));
    const right = meanOver(to, to - 1, (row, column) => Math.abs(value(row, column + 1) - value(row, column)));
    return Math.log((down + right) / 2 + 0.1);
  });
}

function roughness(side: number, at: Map2): Float64Array {
  const counts = new Float64Array(4 * 255 + 1);
  for (let row = 1; row < side - 1; row++) {
    for (let column = 1; column < side - 1; column++) {
      const around = at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1);
      counts[Math.abs(4 * at(row, column) - around)]++;
    }
  }
  return counts;
}

/** How much larger the steps between blocks of 8 pixels are than the others; half of it, for there are two ways. */
function gridOf(side: number, step: (line: number) => number): number {
  const steps = Array.from({ length: side - 1 }, (_, line) => step(line));
  const between = steps.filter((_, line) => line % 8 === 7);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.log((mean(between) + 0.1) / (mean(steps) + 0.1)) / 2;
}

function cornerShare(leg: number, map: Map2): number {
  let [dark, n] = [0, 0];
  for (let row = 0; row < leg; row++) {
    for (let column = 0; row + column < leg; column++, n++) dark += Number(map(row, column) <= BLACK);
  }
  return dark / n;
}

function writing(film: Uint8Array, side: number, at: Map2, across: Map2, along: Map2): number[] {
  const zone = Math.max(1, pyRoundHalfEven(OUTER * side));
  const outer = (row: number, column: number) => row < zone || row >= side - zone || column < zone || column >= side - zone;
  const steep: Map2 = (row, column) => Number(across(row, column) > STEEP || along(row, column) > STEEP);
  let [steepOuter, nOuter, whiteOuter, nWhite] = [0, 0, 0, 0];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      if (!outer(row, column)) continue;
      nWhite += 1;
      whiteOuter += Number(film[row * side + column] >= WHITE);
      if (row === side - 1 || column === side - 1) continue;
      nOuter += 1;
      steepOuter += steep(row, column);
    }
  }
  const white = (row: number, column: number) => at(row, column) >= WHITE;
  const flat = meanOver(side - 2, side - 2, (y, x) =>
    Number(white(y + 1, x + 1) && white(y, x + 1) && white(y + 2, x + 1) && white(y + 1, x) && white(y + 1, x + 2)),
  );
  return [meanOver(side - 1, side - 1, steep), steepOuter / nOuter, whiteOuter / nWhite, flat];
}

function sideScore(film: Uint8Array, side: number, sides: Float64Array): number {
  const small = resize({ pixels: film, width: side, height: side }, SIDES, SIDES, "box").pixels;
  const mean = small.reduce((sum, grey) => sum + grey, 0) / small.length;
  const contrast = deviationOf(small) + 4;
  const value = (row: number, column: number) => (small[row * SIDES + column] - mean) / contrast;
  let score = 0;
  for (let row = 0; row < SIDES; row++) {
    for (let column = 0; column < SIDES / 2; column++) {
      score += (value(row, column) - value(row, SIDES - 1 - column)) * sides[(row * SIDES) / 2 + column];
    }
  }
  return score;
}
