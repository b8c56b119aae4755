// Numbers as numpy and Python have them: rounding to even, percentiles, shares of counts.

import type { Packed } from "./types.js";

/** numpy's rint: halves go to the even neighbour. */
export function rint(value: number): number {
  const floor = Math.floor(value);
  const apart = value - floor;
  if (apart < 0.5) return floor;
  if (apart > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Python's round(value, digits): of the exact value, ties to the even last digit. */
export function pyRound(value: number, digits: number): number {
  const exact = value.toFixed(Math.min(100, digits + 60));
  const tail = exact.slice(exact.indexOf(".") + 1 + digits);
  const rounded = Number(value.toFixed(digits));
  if (!/^50*$/.test(tail)) return rounded;
  const kept = exact.slice(0, exact.indexOf(".") + 1 + digits); // towards zero
  const last = Number(kept.replace(".", "").slice(-1));
  return last % 2 === 0 ? Number(kept) : rounded;
}

export const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** The first place at which ascending `values` reach `wanted` ("left"), or pass it ("right"), as numpy.searchsorted. */
export function searchSorted(values: ArrayLike<number>, wanted: number, side: "left" | "right" = "left"): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (side === "left" ? values[middle] < wanted : values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function cumulative(counts: ArrayLike<number>): Float64Array {
  const sums = new Float64Array(counts.length);
  let sum = 0;
  for (let at = 0; at < counts.length; at++) sums[at] = sum += counts[at];
  return sums;
}

export function countBytes(pixels: ArrayLike<number>): Float64Array {
  const counts = new Float64Array(256);
  for (let at = 0; at < pixels.length; at++) counts[pixels[at]]++;
  return counts;
}

/** A quantile of values of which `sorted(at)` is the one at a place, between two of them as numpy's linear method. */
export function quantile(sorted: (at: number) => number, n: number, share: number): number {
  const place = share * (n - 1);
  const below = Math.floor(place);
  const [low, high] = [sorted(below), sorted(Math.min(n - 1, below + 1))];
  const part = place - below;
  return part >= 0.5 ? high - (high - low) * (1 - part) : low + (high - low) * part;
}

export function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += values[at];
  return sum / values.length;
}

export function deviationOf(values: ArrayLike<number>): number {
  const mean = meanOf(values);
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += (values[at] - mean) ** 2;
  return Math.sqrt(sum / values.length);
}

/** The numbers of a packed array. */
export function unpacked({ dtype, base64 }: Packed): Float64Array {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const size = dtype === "float32" ? 4 : 8;
  return Float64Array.from({ length: bytes.length / size }, (_, at) =>
    dtype === "float32" ? view.getFloat32(size * at, true) : view.getFloat64(size * at, true),
  );
}

export const hex = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

export async function sha256(bytes: Uint8Array): Promise<string> {
  return hex(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}
