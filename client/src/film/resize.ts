// The one resizer: Pillow's, whole numbers from one end to the other, bit for bit (tbconv/contract/preprocess.py).

export interface Grey {
  pixels: Uint8Array; // rows from the top, 0 black to 255 white
  width: number;
  height: number;
}

export type Filter = "bilinear" | "box";

const PRECISION = 22; // bits of a weight: 32, less 8 of a pixel and 2 that a sum may overflow (Pillow's Resample.c)

const FILTERS: Record<Filter, { support: number; weight: (x: number) => number }> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
};

interface Weights {
  first: Int32Array; // of each output pixel, the first input pixel that counts
  count: Int32Array;
  values: Int32Array; // `most` for each output pixel
  most: number;
}

function weightsOf(from: number, to: number, filter: Filter): Weights {
  const { support: reach, weight } = FILTERS[filter];
  const scale = from / to;
  const filterScale = Math.max(scale, 1);
  const support = reach * filterScale;
  const inverse = 1 / filterScale;
  const most = Math.ceil(support) * 2 + 1;
  const found: Weights = {
    first: new Int32Array(to),
    count: new Int32Array(to),
    values: new Int32Array(to * most),
    most,
  };
  const raw = new Float64Array(most);
  for (let at = 0; at < to; at++) {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - first;
    let total = 0;
    for (let tap = 0; tap < count; tap++) {
      raw[tap] = weight((tap + first - centre + 0.5) * inverse);
      total += raw[tap];
    }
    for (let tap = 0; tap < count; tap++) {
      const share = total !== 0 ? raw[tap] / total : raw[tap];
      found.values[at * most + tap] = Math.trunc(0.5 + share * (1 << PRECISION));
    }
    found.first[at] = first;
    found.count[at] = count;
  }
  return found;
}

/** Resize to `width` x `height` as `Image.resize` does: along rows, then along columns, rounding after each. */
export function resize(grey: Grey, width: number, height: number, filter: Filter = "bilinear"): Grey {
  const across = width === grey.width ? grey.pixels : alongRows(grey, weightsOf(grey.width, width, filter), width);
  if (height === grey.height) return { pixels: across.slice(), width, height };
  return { pixels: alongColumns(across, width, height, weightsOf(grey.height, height, filter)), width, height };
}

function alongRows({ pixels, width, height }: Grey, { first, count, values, most }: Weights, to: number): Uint8Array {
  const out = new Uint8Array(to * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < to; x++) {
      const from = y * width + first[x];
      const weights = x * most;
      let sum = 1 << (PRECISION - 1);
      for (let tap = 0; tap < count[x]; tap++) sum += values[weights + tap] * pixels[from + tap];
      out[y * to + x] = sum >> PRECISION;
    }
  }
  return out;
}

function alongColumns(pixels: Uint8Array, width: number, to: number, weights: Weights): Uint8Array {
  const out = new Uint8Array(width * to);
  const { first, count, values, most } = weights;
  const sums = new Float64Array(width);
  for (let y = 0; y < to; y++) {
    sums.fill(1 << (PRECISION - 1));
    for (let tap = 0; tap < count[y]; tap++) {
      const row = (first[y] + tap) * width;
      const value = values[y * most + tap];
      for (let x = 0; x < width; x++) sums[x] += value * pixels[row + x];
    }
    for (let x = 0; x < width; x++) out[y * width + x] = sums[x] >> PRECISION;
  }
  return out;
}

/** A film as the network takes it: centred on a black square, shrunk or enlarged to `size` x `size`. */
export function modelInput({ pixels, width, height }: Grey, size: number): Uint8Array {
  const side = Math.max(width, height);
  const square = new Uint8Array(side * side);
  const left = (side - width) >> 1;
  const top = (side - height) >> 1;
  for (let y = 0; y < height; y++) {
    square.set(pixels.subarray(y * width, (y + 1) * width), (top + y) * side + left);
  }
  return resize({ pixels: square, width: side, height: side }, size, size).pixels;
}
