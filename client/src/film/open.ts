// The one door for films: the bytes say what container they are (tbconv/contract/xray/decode.py).

import { filmError, notReadHere } from "../errors.js";
import { cumulative, quantile, searchSorted } from "../numbers.js";
import type { FilmRules, Opened, OpenedFilm } from "../types.js";
import { greyOf } from "./colour.js";
import { looksLikeDicom, openDicom } from "./dicom.js";
import { estimateScale, levelOf, occurring, toBytes } from "./grey.js";
import { readJpegHeader } from "./jpeg.js";
import type { JpegCodec } from "./jpeg.js";
import { orientationOf, upright } from "./orientation.js";
import { decodePng } from "./png.js";
import type { Png, Size } from "./png.js";
import { whatItIs } from "./kinds.js";

const HIGH = 0.005;

/** Open a film: its grey pixels and what its file states, or why the file says itself that it is no frontal film. */
export function openFilm(data: Uint8Array, rules: FilmRules, codec: JpegCodec): Opened {
  if (begins(data, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return { film: openPng(data, rules) };
  if (begins(data, [0xff, 0xd8, 0xff])) return { film: openJpeg(data, rules, codec) };
  if (looksLikeDicom(data)) return openDicom(data, rules, codec);
  throw filmError("the film is not a PNG, JPEG or DICOM file", whatItIs(data), "Export it as one of them.");
}

const begins = (data: Uint8Array, start: number[]): boolean => start.every((byte, at) => data[at] === byte);

function allowing({ max_pixels, max_decoded }: FilmRules): (size: Size) => void {
  return ({ width, height, bytes }) => {
    if (width * height > max_pixels) {
      throw filmError(`the film has ${width} x ${height} pixels`, `a film may have ${max_pixels} pixels, so that none can fill the memory`, "Export the film at a side of 4,096 pixels or less.");
    }
    if (bytes > max_decoded) {
      throw filmError(`the film has ${bytes} bytes of pixels`, `a film may have ${max_decoded}, so that none can fill the memory`, "Export the film in grey, or at a side of 4,096 pixels or less.");
    }
  };
}

// --- PNG ---

function openPng(data: Uint8Array, rules: FilmRules): OpenedFilm {
  const png = decodePng(data, allowing(rules));
  const orientation = orientationOf(png.exif, png.xmp);
  if (png.colour === 0) return openGreyPng(png, orientation, rules);
  const { data: stored, channels } = coloursOf(png);
  const turned = upright(stored, png.width, png.height, channels, orientation);
  const picture = { data: turned.data, channels, width: turned.width, height: turned.height, indexed: png.colour === 3 };
  if (png.colour === 4 && png.depth === 8) {
    const { pixels } = greyOf(picture); // grey with alpha: no colour is judged
    return { grey: { pixels, width: turned.width, height: turned.height }, chroma: 0, limits: [] };
  }
  const { pixels, chroma, tinted } = greyOf(picture);
  if (png.depth === 16) refuseDark(pixels, turned.width, turned.height);
  return { grey: { pixels, width: turned.width, height: turned.height }, chroma, limits: tinted ? [rules.limits.tint] : [] };
}

function openGreyPng(png: Png, orientation: number, { limits }: FilmRules): OpenedFilm {
  const { data, width, height } = upright(png.data, png.width, png.height, 1, orientation);
  if (data instanceof Uint16Array) {
    const counts = new Float64Array(65536);
    for (let at = 0; at < data.length; at++) counts[data[at]]++;
    const scale = estimateScale(occurring(counts), { depth: 16 });
    const levels = toBytes(Float64Array.from({ length: 65536 }, (_, value) => levelOf(scale, value)), scale.inexact);
    const pixels = new Uint8Array(data.length);
    for (let at = 0; at < data.length; at++) pixels[at] = levels[data[at]];
    return { grey: { pixels, width, height }, chroma: 0, limits: scale.stated ? [] : [limits.depth] };
  }
  const factor = { 1: 255, 2: 85, 4: 17, 8: 1, 16: 1 }[png.depth];
  const pixels = factor === 1 ? data : data.map((value) => value * factor);
  return { grey: { pixels, width, height }, chroma: 0, limits: [] };
}

/** Pixels as RGB or RGBA of 8 bits, as Pillow has them: of 16 bits the upper eight. */
function coloursOf(png: Png): { data: Uint8Array; channels: 3 | 4 } {
  const count = png.width * png.height;
  const { data } = png;
  const shift = png.depth === 16 ? 8 : 0;
  if (png.colour === 2 || png.colour === 6) {
    const channels = png.colour === 2 ? 3 : 4;
    return { data: data instanceof Uint8Array ? data : Uint8Array.from(data, (value) => value >> shift), channels };
  }
  const out = new Uint8Array(4 * count);
  if (png.colour === 4) {
    for (let at = 0; at < count; at++) {
      const grey = data[2 * at] >> shift;
      out.set([grey, grey, grey, data[2 * at + 1] >> shift], 4 * at);
    }
    return { data: out, channels: 4 };
  }
  const { palette, alphas } = png;
  if (!palette || palette.length % 3) throw filmError("the film is damaged", "its pixels are numbers of a palette that it lacks", "Export or download the film again.");
  const entries = palette.length / 3;
  const channels = alphas ? 4 : 3;
  const colours = new Uint8Array(channels * count);
  for (let at = 0; at < count; at++) {
    const entry = data[at];
    if (entry >= entries) throw notReadHere("the film's PNG uses colours that its palette does not have", `it has ${entries}`);
    for (let channel = 0; channel < 3; channel++) colours[channels * at + channel] = palette[3 * entry + channel];
    if (alphas) colours[4 * at + 3] = entry < alphas.length ? alphas[entry] : 255;
  }
  return { data: colours, channels };
}

/** A PNG of 16 bits a channel that uses few of them: of several channels only the upper 8 bits are read. */
function refuseDark(pixels: Uint8Array, width: number, height: number): void {
  const counts = new Float64Array(256);
  for (let y = 0; y < height; y += 4) for (let x = 0; x < width; x += 4) counts[pixels[y * width + x]]++;
  const until = cumulative(counts);
  const bright = quantile((place) => searchSorted(until, place, "right"), until[255], 1 - HIGH);
  if (bright < 255 / 2) {
    throw filmError("the film is a PNG of 16 bits in colour or with alpha", "its values lie in the lower half of 16 bits, and of several channels only the upper 8 bits are read", "Export it in grey.");
  }
}

// --- JPEG ---

function openJpeg(data: Uint8Array, rules: FilmRules, codec: JpegCodec): OpenedFilm {
  const header = readJpegHeader(data);
  if (header.lossless || header.jpegLs || header.precision > 8) {
    throw notReadHere("the film is a JPEG of more than 8 bits, or lossless", "the usual process of 8 bits is read here");
  }
  if (header.frames !== 1) throw notReadHere("the film is a JPEG of several pictures, or of none", `it has ${header.frames}`);
  const { width, height, samples } = header;
  allowing(rules)({ width, height, samples, bytes: width * height * samples });
  const decoded = codec.decode(data, header);
  const turned = upright(decoded.data, width, height, decoded.channels, orientationOf(header.exif, header.xmp));
  const size = { width: turned.width, height: turned.height };
  if (decoded.channels === 1) return { grey: { pixels: turned.data, ...size }, chroma: 0, limits: [] };
  const { pixels, chroma, tinted } = greyOf({ data: turned.data, channels: 3, ...size });
  return { grey: { pixels, ...size }, chroma, limits: tinted ? [rules.limits.tint] : [] };
}

