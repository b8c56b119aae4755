// Pictures of several channels turned grey: alpha over black, one hue to its strongest channel, others to luma.
// tbconv/contract/xray/picture.py and tint.py; the whole numbers are Pillow's, bit for bit.

import { tooClose } from "../errors.js";
import { clamp, deviationOf, meanOf, quantile, rint } from "../numbers.js";
import { endsIn, USUAL_WHITE } from "./grey.js";

export interface Colours {
  data: Uint8Array; // pixel by pixel
  channels: 3 | 4; // RGB or RGBA
  width: number;
  height: number;
  indexed?: boolean; // of a palette: its colours are judged without their alpha, since numbers cannot be averaged
}

export interface GreyPicture {
  pixels: Uint8Array;
  chroma: number; // mean distance of a pixel's strongest and weakest colour where they are of several hues
  tinted: boolean;
}

const THUMBNAIL = 64;
const GREY_CHROMA = 3;
const MOST_LEFT = 5;
const [FULL, SATURATED] = [254, 0.01];
const CLOSE = 1e-6; // grey levels: two ways to fit a parabola differ by less

export function greyOf(picture: Colours): GreyPicture {
  const pixels = luma(picture);
  const { chroma, levels } = judge(small(picture.indexed ? withoutAlpha(picture) : picture));
  if (!levels) return { pixels, chroma, tinted: false };
  for (let at = 0; at < pixels.length; at++) pixels[at] = levels[pixels[at]];
  return { pixels, chroma: 0, tinted: true };
}

/** ITU-R 601 luma in Pillow's whole numbers; what is transparent lies over black. */
function luma({ data, channels, width, height }: Colours): Uint8Array {
  const pixels = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < pixels.length; at++, from += channels) {
    let [r, g, b] = [data[from], data[from + 1], data[from + 2]];
    if (channels === 4 && data[from + 3] !== 255) [r, g, b] = overBlack(r, g, b, data[from + 3]);
    pixels[at] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
  }
  return pixels;
}

/** Pillow's alpha_composite on opaque black (AlphaComposite.c): 7 bits of precision, then a division by 255. */
function overBlack(r: number, g: number, b: number, alpha: number): [number, number, number] {
  if (alpha === 0) return [0, 0, 0];
  const outAlpha = alpha * 255 + 255 * (255 - alpha);
  const weight = Math.floor((alpha * 255 * 255 * 128) / outAlpha);
  const over = (value: number) => {
    const sum = value * weight + (0x80 << 7);
    return (((sum >> 8) + sum) >> 8) >> 7;
  };
  return [over(r), over(g), over(b)];
}

/** Means of whole blocks of pixels, as `Image.reduce(...).convert("RGB")` has them (Reduce.c). */
function small({ data, channels, width, height }: Colours): Colours {
  const factor = Math.max(1, Math.floor(Math.min(width, height) / THUMBNAIL));
  if (factor === 1) return withoutAlpha({ data, channels, width, height });
  const source = channels === 4 ? premultiplied(data) : data;
  const [across, down] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const out = new Uint8Array(across * down * channels);
  for (let y = 0; y < down; y++) {
    const rows = Math.min(factor, height - y * factor);
    for (let x = 0; x < across; x++) {
      const columns = Math.min(factor, width - x * factor);
      const n = rows * columns;
      const multiplier = BigInt(Math.trunc(Math.fround(2 ** 32 / (256 * n))));
      for (let channel = 0; channel < channels; channel++) {
        let sum = n >> 1;
        for (let j = 0; j < rows; j++) {
          let from = ((y * factor + j) * width + x * factor) * channels + channel;
          for (let i = 0; i < columns; i++, from += channels) sum += source[from];
        }
        out[(y * across + x) * channels + channel] = Number((BigInt(sum) * multiplier) >> 24n);
      }
    }
  }
  return withoutAlpha({ data: channels === 4 ? unmultiplied(out) : out, channels, width: across, height: down });
}

function premultiplied(data: Uint8Array): Uint8Array {
  const out = data.slice();
  for (let at = 0; at < out.length; at += 4) {
    for (let channel = 0; channel < 3; channel++) {
      const product = data[at + channel] * data[at + 3] + 128;
      out[at + channel] = ((product >> 8) + product) >> 8;
    }
  }
  return out;
}

function unmultiplied(data: Uint8Array): Uint8Array {
  const out = data.slice();
  for (let at = 0; at < out.length; at += 4) {
    const alpha = data[at + 3];
    if (alpha === 0 || alpha === 255) continue;
    for (let channel = 0; channel < 3; channel++) {
      out[at + channel] = Math.min(255, Math.floor((255 * data[at + channel]) / alpha));
    }
  }
  return out;
}

function withoutAlpha({ data, channels, width, height }: Colours): Colours {
  if (channels === 3) return { data, channels, width, height };
  const out = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at++) out.set(data.subarray(4 * at, 4 * at + 3), 3 * at);
  return { data: out, channels: 3, width, height };
}

/** How coloured a thumbnail is, and, where all its colours are of one hue, the grey of each luma. */
function judge({ data, width, height }: Colours): { chroma: number; levels: Uint8Array | null } {
  const n = width * height;
  const channel = (of: number) => Float64Array.from({ length: n }, (_, at) => data[3 * at + of]);
  const colours = [channel(0), channel(1), channel(2)];
  let apart = 0;
  const brightness = new Float64Array(n);
  for (let at = 0; at < n; at++) {
    const [r, g, b] = [colours[0][at], colours[1][at], colours[2][at]];
    apart += Math.max(r, g, b) - Math.min(r, g, b);
    brightness[at] = r * 0.299 + g * 0.587 + b * 0.114;
  }
  const chroma = apart / n;
  const spread = deviationOf(brightness);
  if (chroma <= GREY_CHROMA) return { chroma, levels: null };
  if (Math.abs(spread - 1) < CLOSE) throw tooClose("the picture's contrast");
  if (spread < 1) return { chroma, levels: null };
  const curves = colours.map((values) => parabola(brightness, values));
  let left = 0;
  colours.forEach((values, of) => {
    for (let at = 0; at < n; at++) left += (values[at] - curves[of](brightness[at])) ** 2;
  });
  const error = Math.sqrt(left / (3 * n));
  if (Math.abs(error - MOST_LEFT) < CLOSE) throw tooClose("how far the picture's colours are of one hue");
  return { chroma, levels: error > MOST_LEFT ? null : levelsOf(colours, curves) };
}

/** The least-squares parabola, by three polynomials that are orthogonal on the points: as numpy's, to rounding. */
function parabola(x: Float64Array, y: Float64Array): (at: number) => number {
  const n = x.length;
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
    let sum = 0;
    for (let at = 0; at < n; at++) sum += a[at] * b[at];
    return sum;
  };
  const middle = meanOf(x);
  const first = x.map((value) => value - middle);
  const lean = dot(first, first.map((value) => value * value)) / dot(first, first);
  const square = meanOf(first.map((value) => value * value));
  const second = first.map((value) => value * value - lean * value - square);
  const norm = dot(second, second);
  if (norm < CLOSE * n) throw tooClose("the number of the picture's grey levels");
  const [a, b, c] = [meanOf(y), dot(first, y) / dot(first, first), dot(second, y) / norm];
  return (at) => {
    const away = at - middle;
    return a + b * away + c * (away * away - lean * away - square);
  };
}

function levelsOf(colours: Float64Array[], curves: ((at: number) => number)[]): Uint8Array {
  const sorted = colours.map((values) => values.slice().sort());
  const n = sorted[0].length;
  const at = (of: number, share: number) => quantile((place) => sorted[of][place], n, share);
  const saturated = colours.map((values) => values.reduce((sum, value) => sum + Number(value >= FULL), 0) / n > SATURATED);
  const high = [0, 1, 2].map((of) => at(of, 0.995));
  let best = 1;
  if (!saturated.every(Boolean)) {
    const scores = saturated.some(Boolean)
      ? high.map((value, of) => (saturated[of] ? -Infinity : -Math.abs(value / 255 - USUAL_WHITE)))
      : colours.map(deviationOf);
    best = scores.indexOf(Math.max(...scores));
    const others = scores.filter((_, of) => of !== best);
    if (others.some((score) => score !== scores[best] && scores[best] - score < 1e-9)) throw tooClose("the channel of most contrast");
  }
  const [black, white] = endsIn(at(best, 0.005), high[best], 255);
  const levels = new Uint8Array(256);
  let channel = -Infinity;
  for (let brightness = 0; brightness < 256; brightness++) {
    channel = Math.max(channel, curves[best](brightness));
    const level = clamp((channel - black) * (255 / (white - black)), 0, 255);
    if (Math.abs(level - Math.floor(level) - 0.5) < CLOSE) throw tooClose("a grey level of a tinted film");
    levels[brightness] = rint(level);
  }
  return levels;
}
