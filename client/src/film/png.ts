// PNG to stored values: browsers' own decoders manage colours and alpha, so none of them is asked.

import { inflateSync, Inflate } from "fflate";
import { damaged, filmError, notReadHere } from "../errors.js";

export interface Png {
  width: number;
  height: number;
  depth: 1 | 2 | 4 | 8 | 16; // bits a channel
  colour: 0 | 2 | 3 | 4 | 6; // PNG's colour type
  data: Uint8Array | Uint16Array; // pixel by pixel, values as stored
  palette: Uint8Array | null; // RGB
  alphas: Uint8Array | null; // of the palette
  exif: Uint8Array | null;
  xmp: Uint8Array | null;
}

const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DEPTHS: Record<number, number[]> = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const MAX_CHUNKS = 16_000;
const MAX_TEXTS = 8; // packed texts and profiles
const MAX_TEXT = 1 << 20; // bytes of one, unpacked
const XMP = "XML:com.adobe.xmp";
const STATES_ORIENTATION = new Set(["exif", "xmp", "Raw profile type exif", XMP]);

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});

function crcOf(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (let at = 0; at < data.length; at++) crc = CRC[(crc ^ data[at]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

const latin = (data: Uint8Array): string => String.fromCharCode(...data);

export interface Size {
  width: number;
  height: number;
  samples: number;
  bytes: number; // of the decoded picture
}

export function decodePng(file: Uint8Array, allow: (size: Size) => void): Png {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found: Png = { width: 0, height: 0, depth: 8, colour: 0, data: new Uint8Array(), palette: null, alphas: null, exif: null, xmp: null };
  const packed: Uint8Array[] = [];
  let [place, chunks, texts, interlaced, ended] = [8, 0, 0, false, false];
  while (!ended) {
    if (place + 12 > file.length) throw damaged("the file ends before the picture does");
    if (++chunks > MAX_CHUNKS) throw tooManyParts();
    const length = view.getUint32(place);
    const end = place + 12 + length;
    if (end > file.length) throw damaged("the file ends before the picture does");
    const kind = latin(file.subarray(place + 4, place + 8));
    const data = file.subarray(place + 8, end - 4);
    if (crcOf(file.subarray(place + 4, end - 4)) !== view.getUint32(end - 4)) throw damaged(`its chunk ${kind} has a wrong checksum`);
    if (chunks === 1 && kind !== "IHDR") throw damaged("it does not begin with its header");
    if (["iTXt", "zTXt", "iCCP"].includes(kind) && ++texts > MAX_TEXTS) throw tooManyParts();
    if (kind === "IHDR") interlaced = readHeader(data, found, chunks, allow);
    else if (kind === "PLTE") found.palette = data;
    else if (kind === "tRNS") found.alphas = data;
    else if (kind === "IDAT") packed.push(data);
    else if (kind === "eXIf") found.exif = data;
    else if (kind === "acTL") throw notReadHere("the film is an animated PNG", "a film is one picture");
    else if (kind === "iTXt") readText(data, found);
    else if (kind === "tEXt" || kind === "zTXt") refuseOrientation(data);
    else if (kind === "IEND") ended = true;
    place = end;
  }
  found.data = interlaced ? deinterlaced(found, unpack(packed, sizeOfPasses(found))) : rows(found, unpack(packed, sizeOf(found.width, found.height, found)));
  return found;
}

const tooManyParts = () =>
  filmError("the film is made of too many parts", "each of its parts costs memory or time, and no film has as many", "Export the film again, without its notes.");

function readHeader(data: Uint8Array, found: Png, chunk: number, allow: (size: Size) => void): boolean {
  if (data.length !== 13 || chunk !== 1) throw damaged("its header has another length than a PNG's");
  const view = new DataView(data.buffer, data.byteOffset, 13);
  [found.width, found.height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colour, packing, filter, interlace] = data.subarray(8);
  if (!found.width || !found.height || !DEPTHS[colour]?.includes(depth) || packing || filter || interlace > 1) {
    throw damaged("its header holds values that no PNG has");
  }
  found.depth = depth as Png["depth"];
  found.colour = colour as Png["colour"];
  const samples = CHANNELS[colour];
  // what Pillow decodes to: 16 bits a channel only where there is one channel
  const bytes = found.width * found.height * (colour === 4 && depth === 16 ? 4 : samples) * (depth === 16 && samples === 1 ? 2 : 1);
  allow({ width: found.width, height: found.height, samples, bytes });
  return interlace === 1;
}

function keyword(data: Uint8Array): [string, number] {
  const end = data.indexOf(0);
  if (end < 0) return [latin(data.subarray(0, 80)), data.length];
  return [latin(data.subarray(0, end)), end + 1];
}

function refuseOrientation(data: Uint8Array): void {
  const [word] = keyword(data);
  if (STATES_ORIENTATION.has(word)) {
    throw notReadHere("the film's PNG states its orientation in an unusual way", `in a text named ${word}`);
  }
}

function readText(data: Uint8Array, found: Png): void {
  const [word, start] = keyword(data);
  if (word !== XMP) return refuseOrientation(data);
  const compressed = data[start];
  let at = start + 2;
  for (let skip = 0; skip < 2; skip++) at = data.indexOf(0, at) + 1 || data.length;
  const text = data.subarray(at);
  if (!compressed) found.xmp = text;
  else {
    const unpacked = inflateBounded([text], MAX_TEXT);
    if (!unpacked) throw tooManyParts();
    found.xmp = unpacked;
  }
}

const sizeOf = (width: number, height: number, { depth, colour }: Png): number =>
  width && height ? height * (1 + Math.ceil((width * CHANNELS[colour] * depth) / 8)) : 0;

// Adam7: first column and row of a pass, and its steps
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

const passSize = (png: Png, [x, y, dx, dy]: number[]): [number, number] => [
  Math.max(0, Math.ceil((png.width - x) / dx)),
  Math.max(0, Math.ceil((png.height - y) / dy)),
];

const sizeOfPasses = (png: Png): number =>
  PASSES.reduce((sum, pass) => sum + sizeOf(...passSize(png, pass), png), 0);

/** Inflate a zlib stream into at most `most` bytes; null where it holds more. */
function inflateBounded(parts: Uint8Array[], most: number): Uint8Array | null {
  const whole = joined(parts);
  if (whole.length < 6 || (whole[0] & 15) !== 8 || ((whole[0] << 8) | whole[1]) % 31 || whole[1] & 32) {
    throw damaged("its compressed data do not begin as zlib's do");
  }
  const out: Uint8Array[] = [];
  let size = 0;
  try {
    const stream = new Inflate((data) => {
      size += data.length;
      if (size <= most) out.push(data);
    });
    const STEP = 1 << 16;
    for (let at = 2; at < whole.length && size <= most; at += STEP) {
      stream.push(whole.subarray(at, Math.min(whole.length, at + STEP)), at + STEP >= whole.length);
    }
  } catch {
    throw damaged("its compressed data cannot be unpacked");
  }
  return size > most ? null : joined(out);
}

function joined(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function unpack(parts: Uint8Array[], expected: number): Uint8Array {
  if (!parts.length) throw damaged("it holds no picture");
  const whole = joined(parts);
  if (whole.length < 6 || (whole[0] & 15) !== 8 || ((whole[0] << 8) | whole[1]) % 31 || whole[1] & 32) {
    throw damaged("its compressed data do not begin as zlib's do");
  }
  let data: Uint8Array;
  try {
    data = inflateSync(whole.subarray(2), { out: new Uint8Array(expected + 1) });
  } catch {
    throw damaged("its compressed picture cannot be unpacked, or is longer or shorter than its header says");
  }
  if (data.length !== expected) throw damaged("its compressed picture is longer or shorter than its header says");
  return data;
}

/** Undo the filters of rows, in place behind each row's first byte, and take the values out. */
function rows(png: Png, raw: Uint8Array, width = png.width, height = png.height, start = 0): Uint8Array | Uint16Array {
  const channels = CHANNELS[png.colour];
  const stride = Math.ceil((width * channels * png.depth) / 8);
  const step = Math.max(1, (channels * png.depth) >> 3);
  const out = png.depth === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const at = start + y * (stride + 1) + 1;
    unfilter(raw, at, stride, step, raw[at - 1], y > 0 ? at - stride - 1 : -1);
    takeRow(raw, at, png.depth, out, y * width * channels, width * channels);
  }
  return out;
}

function unfilter(raw: Uint8Array, at: number, stride: number, step: number, filter: number, above: number): void {
  if (filter === 0) return;
  if (filter > 4) throw damaged("a row is filtered in a way that PNG does not have");
  for (let x = 0; x < stride; x++) {
    const left = x >= step ? raw[at + x - step] : 0;
    const up = above >= 0 ? raw[above + x] : 0;
    const corner = above >= 0 && x >= step ? raw[above + x - step] : 0;
    const guess = filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
    raw[at + x] += guess;
  }
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function takeRow(raw: Uint8Array, at: number, depth: number, out: Uint8Array | Uint16Array, to: number, n: number): void {
  if (depth === 8) out.set(raw.subarray(at, at + n), to);
  else if (depth === 16) for (let x = 0; x < n; x++) out[to + x] = (raw[at + 2 * x] << 8) | raw[at + 2 * x + 1];
  else for (let x = 0; x < n; x++) {
    const bit = x * depth;
    out[to + x] = (raw[at + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
  }
}

function deinterlaced(png: Png, raw: Uint8Array): Uint8Array | Uint16Array {
  const channels = CHANNELS[png.colour];
  const size = png.width * png.height * channels;
  const out = png.depth === 16 ? new Uint16Array(size) : new Uint8Array(size);
  let start = 0;
  for (const pass of PASSES) {
    const [width, height] = passSize(png, pass);
    if (!width || !height) continue;
    const part = rows(png, raw, width, height, start);
    const [x0, y0, dx, dy] = pass;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const to = ((y0 + y * dy) * png.width + x0 + x * dx) * channels;
        for (let channel = 0; channel < channels; channel++) out[to + channel] = part[(y * width + x) * channels + channel];
      }
    }
    start += sizeOf(width, height, png);
  }
  return out;
}
