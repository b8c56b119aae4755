// DICOM from outside: one frontal radiograph of a chest, as tbconv/contract/xray/dicom reads it.
// Uncompressed, deflated, RLE, JPEG of 8 bits and lossless JPEG; what else there is, the server reads.

import dicomParser from "dicom-parser";
import type { DataSet, Element } from "dicom-parser";
import { inflateSync } from "fflate";
import { Decoder as LosslessDecoder } from "jpeg-lossless-decoder-js";
import { filmError, notReadHere } from "../errors.js";
import { clamp } from "../numbers.js";
import type { FilmRules, Opened } from "../types.js";
import { greyOf } from "./colour.js";
import { estimateScale, levelOf, toBytes } from "./grey.js";
import { readJpegHeader } from "./jpeg.js";
import type { JpegCodec } from "./jpeg.js";

const IMPLICIT = "1.2.840.10008.1.2";
const EXPLICIT = "1.2.840.10008.1.2.1";
const DEFLATED = "1.2.840.10008.1.2.1.99";
const BIG_ENDIAN = "1.2.840.10008.1.2.2";
const RLE = "1.2.840.10008.1.2.5";
const JPEG_8 = "1.2.840.10008.1.2.4.50";
const JPEG_12 = "1.2.840.10008.1.2.4.51";
const LOSSLESS = ["1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];
const PLAIN = [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN];
const MAX_INFLATED = 80_000_000;
const LEAST_INSIDE = 0.05;

const TAG = {
  sopClass: "x00080016", modality: "x00080060", intent: "x00080068", bodyPart: "x00180015", view: "x00185101",
  viewCode: "x00540220", age: "x00101010", orientation: "x00200020", burnedIn: "x00280301", frames: "x00280008",
  rows: "x00280010", columns: "x00280011", samples: "x00280002", photometric: "x00280004", planar: "x00280006",
  allocated: "x00280100", stored: "x00280101", highBit: "x00280102", signed: "x00280103", modalityLut: "x00283000",
  slope: "x00281053", intercept: "x00281052", voiLut: "x00283010", center: "x00281050", width: "x00281051",
  voiFunction: "x00281056", padding: "x00280120", paddingLimit: "x00280121", pixels: "x7fe00010",
  shutter: "x00181600", left: "x00181602", right: "x00181604", upper: "x00181606", lower: "x00181608",
  circle: "x00181610", radius: "x00181612", meaning: "x00080104",
} as const;

const damaged = (why: string) => filmError("the film cannot be read as DICOM", why, "Export it again, or as PNG from a viewer.");

export function looksLikeDicom(data: Uint8Array): boolean {
  return String.fromCharCode(...data.subarray(128, 132)) === "DICM";
}

interface Header {
  syntax: string;
  rows: number;
  columns: number;
  samples: number;
  frames: number;
  allocated: number;
  stored: number;
  highBit: number;
  signed: boolean;
  planar: number;
  photometric: string;
  modality: string;
  intent: string;
  bodyPart: string;
  view: string;
  years: number | null;
  orientation: string;
  burnedIn: boolean;
}

export function openDicom(data: Uint8Array, rules: FilmRules, codec: JpegCodec): Opened {
  const set = parse(data);
  const header = readHeader(set);
  const rejected = rejectByHeader(header, rules);
  if (rejected) return { rejected };
  refusePixels(header, set, rules);
  const said = saidBy(header, rules);
  if (header.samples === 3) return { film: ofColours(header, set, said, rules) };
  const frame = header.syntax === RLE || !PLAIN.includes(header.syntax) ? packed(header, set, codec) : plain(header, set);
  const { pixels, limits } = shown(frame, header, set, rules);
  return { film: { grey: { pixels, width: header.columns, height: header.rows }, chroma: 0, limits: [...said, ...limits] } };
}

function parse(data: Uint8Array): DataSet {
  try {
    return dicomParser.parseDicom(data, { untilTag: TAG.pixels, inflater: inflated } as object);
  } catch (error) {
    if (error instanceof Error && error.name === "EngineError") throw error;
    throw damaged("its elements cannot be read to the end, or nest or multiply beyond any film's");
  }
}

function inflated(file: Uint8Array, position: number): Uint8Array {
  const rest = inflateSync(file.subarray(position), { out: new Uint8Array(MAX_INFLATED + 1) });
  if (rest.length > MAX_INFLATED) throw damaged(`it inflates to more than ${MAX_INFLATED} bytes, which would fill the memory`);
  const whole = new Uint8Array(position + rest.length);
  whole.set(file.subarray(0, position));
  whole.set(rest, position);
  return whole;
}

// --- header ---

function words(set: DataSet, tag: string): string {
  const element = set.elements[tag];
  if (!element || !element.length) return "";
  const text = set.string(tag) ?? "";
  return text.split("\\").map((part) => part.replace(/\0+$/, "").trim().toUpperCase()).join("\\");
}

function short(set: DataSet, tag: string, otherwise: number): number {
  const element = set.elements[tag];
  if (!element || !element.length) return otherwise;
  if (element.length < 2) throw damaged("an element of its header holds something else than it should");
  return set.uint16(tag)!;
}

/** Numbers in text (DS, IS), of which there may be several. */
function numbers(set: DataSet, tag: string): number[] {
  const element = set.elements[tag];
  if (!element || !element.length) return [];
  return (set.string(tag) ?? "").replace(/\0+$/, "").split("\\").map((part) => (part.trim() ? Number(part.trim()) : NaN));
}

const DAYS: Record<string, number> = { D: 365.25, W: 52.18, M: 12, Y: 1, "": 1 };

function readHeader(set: DataSet): Header {
  const allocated = short(set, TAG.allocated, 0);
  const stored = short(set, TAG.stored, allocated);
  const frames = numbers(set, TAG.frames);
  if (frames.some((one) => !Number.isInteger(one))) throw damaged("an element of its header holds something else than it should");
  const age = /^(\d{1,3})\s*([DWMY]?)$/.exec(words(set, TAG.age));
  return {
    syntax: words(set, "x00020010"),
    rows: short(set, TAG.rows, 0),
    columns: short(set, TAG.columns, 0),
    samples: short(set, TAG.samples, 1),
    frames: frames[0] ?? 1,
    allocated,
    stored,
    highBit: short(set, TAG.highBit, stored - 1),
    signed: short(set, TAG.signed, 0) === 1,
    planar: short(set, TAG.planar, 0),
    photometric: words(set, TAG.photometric),
    modality: words(set, TAG.modality),
    intent: words(set, TAG.intent),
    bodyPart: words(set, TAG.bodyPart),
    view: words(set, TAG.view) || viewWords(set),
    years: age ? Number(age[1]) / DAYS[age[2]] : null,
    orientation: words(set, TAG.orientation),
    burnedIn: words(set, TAG.burnedIn) === "YES",
  };
}

function viewWords(set: DataSet): string {
  const item = set.elements[TAG.viewCode]?.items?.[0]?.dataSet;
  return item ? words(item, TAG.meaning) : "";
}

function rejectByHeader(header: Header, { dicom }: FilmRules): string | null {
  if (!dicom) throw notReadHere("the film is DICOM", "the machine that wrote this folder does not read DICOM (pip install 'tbconv[dicom]')");
  const { view } = header;
  const reasons: [string, boolean][] = [
    ["other_modality", header.modality !== "" && !dicom.radiographs.includes(header.modality)],
    ["other_body_part", dicom.other_parts.includes(header.bodyPart)],
    ["not_for_viewing", header.intent === dicom.raw_intent],
    ["other_view", dicom.other_views.includes(view) || new RegExp(dicom.other_words).test(view)],
    ["lateral_view", dicom.lateral.includes(view) || new RegExp(dicom.lateral_words).test(view)],
    ["multi_frame", header.frames > 1],
  ];
  return reasons.find(([, holds]) => holds)?.[0] ?? null;
}

function refusePixels(header: Header, set: DataSet, rules: FilmRules): void {
  if (!set.elements[TAG.pixels] || header.rows < 1 || header.columns < 1) throw damaged("it holds no picture");
  const values = header.rows * header.columns * header.samples;
  if (values > rules.max_pixels || values * (header.allocated / 8) > rules.max_decoded) {
    throw filmError(
      `the film has ${header.columns} x ${header.rows} pixels of ${header.samples} x ${header.allocated} bits`,
      `a film may have ${rules.max_pixels} values in ${rules.max_decoded} bytes, so that none can fill the memory`,
      "Export the film at a side of 4,096 pixels or less.",
    );
  }
  const grey = ["MONOCHROME1", "MONOCHROME2"].includes(header.photometric);
  if (!grey && header.photometric !== "RGB") {
    throw notReadHere("the film is DICOM in colours of a kind that is not read here", "grey films and RGB are");
  }
  if (header.samples !== (grey ? 1 : 3)) throw damaged("its Photometric Interpretation contradicts its Samples per Pixel");
  if (![8, 16].includes(header.allocated) || header.stored < 1 || header.stored > header.allocated) {
    throw damaged("a film has 8 to 16 bits a pixel, in 8 or 16");
  }
  if (header.highBit !== header.stored - 1) throw damaged("its pixels do not lie in the lowest bits (High Bit is not Bits Stored less one)");
  if (set.elements[TAG.modalityLut] || set.elements[TAG.voiLut]) {
    throw notReadHere("the film brings a look-up table", "films with a window or without one are read here");
  }
}

function saidBy(header: Header, { limits, child_years }: FilmRules): string[] {
  const said: [boolean, string][] = [
    [header.years !== null && header.years < child_years, limits.child],
    [header.burnedIn, limits.burned_in],
    [!["", "L\\F"].includes(header.orientation), limits.turned],
  ];
  return said.filter(([holds]) => holds).map(([, limit]) => limit);
}

// --- frame ---

interface Frame {
  values: Uint8Array | Uint16Array; // codes as stored
  bits: number; // that a value uses
  allocated: 8 | 16;
  signed: boolean;
}

function bytesOf(set: DataSet, element: Element): Uint8Array {
  const data = set.byteArray as Uint8Array;
  const end = element.dataOffset + element.length;
  if (element.hadUndefinedLength || end > data.length) throw damaged("its picture is damaged, or shorter than its header says");
  return data.subarray(element.dataOffset, end);
}

function plain(header: Header, set: DataSet): Frame {
  const bytes = bytesOf(set, set.elements[TAG.pixels]);
  const count = header.rows * header.columns * header.samples;
  const expected = count * (header.allocated / 8);
  if (bytes.length < expected) throw damaged("its picture is damaged, or shorter than its header says");
  if (bytes.length > expected + 1) throw notReadHere("the film holds more than one picture's bytes", `${bytes.length} and not ${expected}`);
  const big = header.syntax === BIG_ENDIAN;
  const allocated = header.allocated as 8 | 16;
  if (allocated === 8) {
    if (big) throw notReadHere("the film is big-endian DICOM of 8 bits", "whether its bytes are swapped is not stated in one way");
    return { values: bytes.subarray(0, count), bits: header.stored, allocated, signed: header.signed };
  }
  const values = new Uint16Array(count);
  for (let at = 0; at < count; at++) {
    values[at] = big ? (bytes[2 * at] << 8) | bytes[2 * at + 1] : bytes[2 * at] | (bytes[2 * at + 1] << 8);
  }
  return { values, bits: header.stored, allocated, signed: header.signed };
}

function packed(header: Header, set: DataSet, codec: JpegCodec): Frame {
  const readable = [RLE, JPEG_8, JPEG_12, ...LOSSLESS].includes(header.syntax);
  if (!readable) throw notReadHere("the film is DICOM, compressed in a way that is not read here", `its transfer syntax is ${header.syntax || "not stated"}`);
  if (header.samples !== 1) throw notReadHere("the film is compressed DICOM in colour", "grey films are read here");
  const stream = onlyFrame(set);
  if (header.syntax === RLE) return used(unpackRle(stream, header), header.stored, header, header.allocated as 8 | 16);
  const found = readJpegHeader(stream);
  if (found.frames !== 1 || found.width !== header.columns || found.height !== header.rows || found.samples !== 1) {
    throw damaged("its compressed picture has another size than its header says");
  }
  if (found.precision < 2 || found.precision > 16) throw damaged("its compressed picture has more than 16 bits, or less than 2");
  if (LOSSLESS.includes(header.syntax) && found.lossless) {
    return used(unpackLossless(stream, header, found.precision), found.precision, header, found.precision <= 8 ? 8 : 16);
  }
  if (found.precision !== 8 || found.lossless || found.jpegLs || LOSSLESS.includes(header.syntax)) {
    throw notReadHere("the film is DICOM, compressed in a way that is not read here", `its JPEG has ${found.precision} bits, of another process than usual`);
  }
  return used(codec.decode(stream, found).data, 8, header, 8);
}

/** Stream and header may each claim more bits than the values use, and black to white is derived from them. */
function used(values: Uint8Array | Uint16Array, precision: number, header: Header, allocated: 8 | 16): Frame {
  const mask = 2 ** precision - 1;
  const half = 2 ** (precision - 1);
  const valueOf = (code: number) => (header.signed && (code & mask) >= half ? (code & mask) - 2 ** precision : code & mask);
  const least = header.signed ? -(2 ** (header.stored - 1)) : 0;
  let fits = true;
  const whole = allocated === 8 ? 0xff : 0xffff;
  for (let at = 0; at < values.length; at++) {
    const value = valueOf(values[at]);
    fits &&= value >= least && value < least + 2 ** header.stored;
    values[at] = value & whole; // unused bits are dropped, a sign is carried on
  }
  return { values, bits: fits ? Math.min(precision, header.stored) : precision, allocated, signed: header.signed };
}

function onlyFrame(set: DataSet): Uint8Array {
  const element = set.elements[TAG.pixels];
  const data = set.byteArray as Uint8Array;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (!element.hadUndefinedLength) throw damaged("the pieces of its compressed picture do not fit together");
  const parts: Uint8Array[] = [];
  let [at, items] = [element.dataOffset, 0];
  for (;;) {
    if (at + 8 > data.length || ++items > 10_000) throw damaged("the pieces of its compressed picture do not fit together");
    const [group, number, length] = [view.getUint16(at, true), view.getUint16(at + 2, true), view.getUint32(at + 4, true)];
    at += 8;
    if (group === 0xfffe && number === 0xe0dd) break;
    if (group !== 0xfffe || number !== 0xe000 || at + length > data.length) throw damaged("the pieces of its compressed picture do not fit together");
    if (items > 1) parts.push(data.subarray(at, at + length)); // the first is the offset table
    at += length;
  }
  if (!parts.length) throw damaged("it holds no picture");
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((to, part) => (whole.set(part, to), to + part.length), 0);
  return whole;
}

/** RLE of DICOM (PS3.5 annex G): PackBits, each byte of a value a plane of its own, the upper one first. */
function unpackRle(stream: Uint8Array, header: Header): Uint8Array | Uint16Array {
  const wrong = damaged("its compressed picture is damaged");
  if (stream.length < 64) throw wrong;
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const planes = header.allocated / 8;
  if (view.getUint32(0, true) !== planes) throw wrong;
  const count = header.rows * header.columns;
  const out = planes === 1 ? new Uint8Array(count) : new Uint16Array(count);
  for (let plane = 0; plane < planes; plane++) {
    const start = view.getUint32(4 + 4 * plane, true);
    const end = plane + 1 < planes ? view.getUint32(8 + 4 * plane, true) : stream.length;
    if (start < 64 || end > stream.length || start > end) throw wrong;
    const shift = 8 * (planes - 1 - plane);
    let to = 0;
    for (let at = start; to < count; ) {
      if (at >= end) throw wrong;
      const n = stream[at++];
      if (n === 128) continue;
      const run = n > 128 ? 257 - n : n + 1;
      if (to + run > count || (n < 128 && at + run > end) || at >= end) throw wrong;
      for (let i = 0; i < run; i++) out[to++] |= (n > 128 ? stream[at] : stream[at + i]) << shift;
      at += n > 128 ? 1 : run;
    }
  }
  return out;
}

function unpackLossless(stream: Uint8Array, header: Header, precision: number): Uint8Array | Uint16Array {
  const buffer = stream.slice().buffer;
  try {
    const decoded = new LosslessDecoder().decode(buffer, 0, buffer.byteLength, precision <= 8 ? 1 : 2);
    const values = decoded instanceof Uint8Array || decoded instanceof Uint16Array ? decoded : null;
    if (values && values.length === header.rows * header.columns) return values.slice();
  } catch {
    // said below
  }
  throw damaged("its compressed picture is damaged");
}

// --- grey ---

interface Shown {
  pixels: Uint8Array;
  limits: string[];
}

/** Stored values to grey pixels, as a workstation shows them: window or range, then polarity. */
function shown(frame: Frame, header: Header, set: DataSet, { limits: said }: FilmRules): Shown {
  const codes = 2 ** frame.allocated;
  const size = 2 ** frame.bits;
  const mask = size - 1;
  const seen = visibleArea(header, set);
  const counts = new Float64Array(codes);
  for (let at = 0; at < frame.values.length; at++) if (!seen || seen[at]) counts[frame.values[at]]++;
  const padded = paddedCodes(frame, set, codes);
  let hidden = seen !== null;
  for (let code = 0; code < codes; code++) {
    if (!padded?.[code]) continue;
    hidden ||= counts[code] > 0;
    counts[code] = 0;
  }
  const found = new Float64Array(size);
  for (let code = 0; code < codes; code++) found[code & mask] += counts[code];
  const { levels, limits, inexact } = levelsOf(frame, header, set, found, hidden, said);
  const bytes = toBytes(levels, inexact);
  const table = new Uint8Array(codes);
  for (let code = 0; code < codes; code++) table[code] = padded?.[code] ? 0 : bytes[code & mask];
  const pixels = new Uint8Array(frame.values.length);
  for (let at = 0; at < pixels.length; at++) pixels[at] = seen && !seen[at] ? 0 : table[frame.values[at]];
  return { pixels, limits: hidden ? [...limits, said.hidden] : limits };
}

const asValue = (code: number, bits: number, signed: boolean): number => {
  const value = code & (2 ** bits - 1);
  return signed && value >= 2 ** (bits - 1) ? value - 2 ** bits : value;
};

function paddedCodes(frame: Frame, set: DataSet, codes: number): Uint8Array | null {
  const [value, limit] = [TAG.padding, TAG.paddingLimit].map((tag) => {
    const element = set.elements[tag];
    return element && element.length >= 2 ? set.uint16(tag)! & (codes - 1) : null;
  });
  if (value === null) return null;
  const ends = [value, limit ?? value];
  const between = (code: number, bits: number) => {
    const [a, b] = ends.map((end) => asValue(end, bits, frame.signed));
    const at = asValue(code, bits, frame.signed);
    return at >= Math.min(a, b) && at <= Math.max(a, b);
  };
  const fits = ends.every((end) => asValue(end, frame.allocated, frame.signed) === asValue(end, frame.bits, frame.signed));
  return Uint8Array.from({ length: codes }, (_, code) =>
    Number(between(code, frame.allocated) || (fits && between(code, frame.bits))),
  );
}

interface Levels {
  levels: Float64Array;
  limits: string[];
  inexact: boolean;
}

function levelsOf(frame: Frame, header: Header, set: DataSet, counts: Float64Array, covered: boolean, said: FilmRules["limits"]): Levels {
  const size = 2 ** frame.bits;
  const values = Float64Array.from({ length: size }, (_, code) => asValue(code, frame.bits, frame.signed));
  let modality = values;
  if (set.elements[TAG.slope] && set.elements[TAG.intercept]) {
    const [slope, intercept] = [numbers(set, TAG.slope), numbers(set, TAG.intercept)];
    if (slope.length !== 1 || intercept.length !== 1 || !Number.isFinite(slope[0] + intercept[0])) {
      throw damaged("one of its look-up tables, windows or shutters cannot be followed");
    }
    modality = values.map((value) => value * slope[0] + intercept[0]);
  }
  let inverted = header.photometric === "MONOCHROME1";
  const window = windowOf(set);
  const windowed = window?.usable ? underWindow(modality, window) : null;
  if (windowed && shows(windowed, counts)) {
    const levels = inverted ? windowed.map((level) => 255 - level) : windowed;
    return { levels, limits: [], inexact: window!.function === "SIGMOID" };
  }
  const off = windowed ? [said.window_off] : window ? [said.window] : [];
  inverted = inverted !== modality[1] < modality[0];
  const order = Array.from(values.keys()).filter((code) => counts[code] > 0).sort((a, b) => values[a] - values[b]);
  const scale = estimateScale(
    { values: order.map((code) => values[code]), counts: order.map((code) => counts[code]) },
    { depth: frame.bits, signed: frame.signed, inverted, covered },
  );
  const limits = off.length ? off : scale.stated ? [] : [said.no_window];
  return { levels: values.map((value) => levelOf(scale, value)), limits, inexact: scale.inexact };
}

interface Window {
  center: number;
  width: number;
  function: string;
  usable: boolean;
}

function windowOf(set: DataSet): Window | null {
  const [center, width] = [numbers(set, TAG.center)[0], numbers(set, TAG.width)[0]];
  if (center === undefined || width === undefined) return null;
  const way = words(set, TAG.voiFunction) || "LINEAR";
  const least: Record<string, boolean> = { LINEAR: width >= 1, LINEAR_EXACT: width > 0, SIGMOID: width > 0 };
  return { center, width, function: way, usable: Number.isFinite(center) && Number.isFinite(width) && Boolean(least[way]) };
}

function underWindow(values: Float64Array, window: Window): Float64Array {
  if (window.function === "SIGMOID") {
    return values.map((value) => clamp(255 / (1 + Math.exp((-4 * (value - window.center)) / window.width)), 0, 255));
  }
  const linear = window.function === "LINEAR";
  const center = linear ? window.center - 0.5 : window.center;
  const width = linear ? window.width - 1 : window.width;
  return values.map((value) => {
    if (value <= center - width / 2) return 0;
    if (value > center + width / 2) return 255;
    return clamp(((value - center) / width + 0.5) * 255, 0, 255);
  });
}

function shows(levels: Float64Array, counts: Float64Array): boolean {
  let [inside, all] = [0, 0];
  for (let code = 0; code < levels.length; code++) {
    all += counts[code];
    if (levels[code] > 0 && levels[code] < 255) inside += counts[code];
  }
  return inside >= LEAST_INSIDE * all;
}

// --- shutters ---

/** What no shutter covers, 1 where it is seen; null where there is none. */
function visibleArea(header: Header, set: DataSet): Uint8Array | null {
  const shapes = words(set, TAG.shutter).split("\\").filter(Boolean);
  let seen: Uint8Array | null = null;
  for (const shape of shapes) {
    if (shape === "POLYGONAL" || shape === "BITMAP") {
      throw notReadHere("the film has a shutter of a kind that is not read here", "rectangles and circles are");
    }
    const mask = shape === "RECTANGULAR" ? rectangle(header, set) : shape === "CIRCULAR" ? circle(header, set) : null;
    if (!mask) continue;
    seen = seen ? seen.map((one, at) => one & mask[at]) : mask;
  }
  return seen && seen.includes(0) ? seen : null;
}

function finite(found: number[]): number[] {
  if (found.some(Number.isNaN)) throw damaged("one of its look-up tables, windows or shutters cannot be followed");
  return found;
}

function rectangle({ rows, columns }: Header, set: DataSet): Uint8Array | null {
  const edges = [TAG.left, TAG.right, TAG.upper, TAG.lower].map((tag) => finite(numbers(set, tag)));
  if (edges.some((edge) => !edge.length)) return null;
  const [left, right, upper, lower] = edges.map(([edge]) => Math.trunc(edge));
  const seen = new Uint8Array(rows * columns);
  for (let y = Math.max(0, upper - 1); y < Math.min(rows, lower); y++) {
    const [from, to] = [Math.max(0, left - 1), Math.min(columns, right)];
    if (from < to) seen.fill(1, y * columns + from, y * columns + to);
  }
  return seen;
}

function circle({ rows, columns }: Header, set: DataSet): Uint8Array | null {
  const [center, radius] = [finite(numbers(set, TAG.circle)), finite(numbers(set, TAG.radius))];
  if (center.length !== 2 || !radius.length) return null;
  const seen = new Uint8Array(rows * columns);
  const square = (at: number, middle: number) => Math.fround(Math.fround(at - middle) ** 2); // float32, as there
  const across = Float32Array.from({ length: columns }, (_, x) => square(x + 1, center[1]));
  for (let y = 0; y < rows; y++) {
    const down = square(y + 1, center[0]);
    for (let x = 0; x < columns; x++) {
      seen[y * columns + x] = Number(Math.fround(down + across[x]) <= Math.fround(radius[0] ** 2));
    }
  }
  return seen;
}

// --- colour ---

function ofColours(header: Header, set: DataSet, said: string[], { limits }: FilmRules): NonNullable<Opened["film"]> {
  if (!PLAIN.includes(header.syntax) || header.allocated !== 8 || header.stored !== 8 || header.signed) {
    throw notReadHere("the film is DICOM in colour of a kind that is not read here", "plain RGB of 8 bits is");
  }
  const { values } = plain(header, set);
  const count = header.rows * header.columns;
  const data = new Uint8Array(3 * count);
  for (let at = 0; at < count; at++) {
    for (let channel = 0; channel < 3; channel++) {
      data[3 * at + channel] = header.planar === 1 ? values[channel * count + at] : values[3 * at + channel];
    }
  }
  const { pixels, chroma, tinted } = greyOf({ data, channels: 3, width: header.columns, height: header.rows });
  return { grey: { pixels, width: header.columns, height: header.rows }, chroma, limits: tinted ? [...said, limits.tint] : said };
}
