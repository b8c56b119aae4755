// JPEG to pixels by libjpeg-turbo as WebAssembly: the library that Pillow uses, so the same pixels to the bit.
// A browser's own decoder converts embedded colour profiles and smooths colours in another way.

import factory from "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs";
import { damaged, filmError, notReadHere } from "../errors.js";
import { isExif } from "./orientation.js";

interface Decoder {
  getEncodedBuffer(length: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): { width: number; height: number; componentCount: number };
  decode(): void;
  delete(): void;
}

interface Codec {
  JPEGDecoder: new () => Decoder;
}

export interface JpegHeader {
  width: number;
  height: number;
  precision: number;
  samples: number;
  frames: number;
  scans: number;
  lossless: boolean;
  jpegLs: boolean;
  exif: Uint8Array | null;
  xmp: Uint8Array | null;
}

const [SOI, EOI, SOS, APP1] = [0xd8, 0xd9, 0xda, 0xe1];
const LOSSLESS = [0xc3, 0xc7, 0xcb, 0xcf];
const JPEG_LS = 0xf7;
const MAX_SCANS = 32;
const MAX_SEGMENTS = 2_000;
const XMP = "http://ns.adobe.com/xap/1.0/\0";

const isFrame = (marker: number): boolean =>
  marker === JPEG_LS || (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker));

/** What a stream states of itself; each segment up to the first scan has to begin where the one before it ends. */
export function readJpegHeader(stream: Uint8Array): JpegHeader {
  const found: JpegHeader = { width: 0, height: 0, precision: 0, samples: 0, frames: 0, scans: 0, lossless: false, jpegLs: false, exif: null, xmp: null };
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const exif: Uint8Array[] = [];
  let [place, segments] = [0, 0];
  while (place < stream.length) {
    const start = nextMarker(stream, place);
    if (start < 0) break;
    const marker = stream[start + 1];
    if (start > place && !found.scans && !stream.subarray(place, start).every((byte) => byte === 0xff)) {
      throw damaged("its segments do not follow one another");
    }
    if (marker === EOI) break;
    if (++segments > MAX_SEGMENTS || found.scans > MAX_SCANS) throw tooManyParts();
    const after = start + 2;
    if (marker === SOI || marker === 0x01) {
      place = after;
      continue;
    }
    if (after + 2 > stream.length) break;
    const length = view.getUint16(after);
    const content = stream.subarray(after + 2, after + length);
    if (isFrame(marker) && content.length >= 6) {
      const frame = new DataView(content.buffer, content.byteOffset, content.byteLength);
      found.frames += 1;
      found.precision = content[0];
      [found.height, found.width, found.samples] = [frame.getUint16(1), frame.getUint16(3), content[5]];
      [found.lossless, found.jpegLs] = [LOSSLESS.includes(marker), marker === JPEG_LS];
    }
    if (marker === SOS) found.scans += 1;
    if (marker === APP1 && !found.scans) {
      if (isExif(content)) exif.push(exif.length ? content.subarray(6) : content);
      else if (startsWith(content, XMP)) found.xmp = content.subarray(XMP.length);
    }
    place = after + length;
  }
  if (found.scans > MAX_SCANS) throw tooManyParts();
  if (exif.length) {
    const whole = new Uint8Array(exif.reduce((sum, part) => sum + part.length, 0));
    exif.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
    found.exif = whole;
  }
  return found;
}

const startsWith = (data: Uint8Array, text: string): boolean =>
  data.length >= text.length && [...text].every((sign, at) => data[at] === sign.charCodeAt(0));

function nextMarker(stream: Uint8Array, from: number): number {
  for (let at = from; at + 1 < stream.length; at++) {
    const next = stream[at + 1];
    if (stream[at] === 0xff && next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7)) return at;
  }
  return -1;
}

const tooManyParts = () =>
  filmError("the film is made of too many parts", "each of its parts costs memory or time, and no film has as many", "Export the film again, without its notes.");

export class JpegCodec {
  private constructor(private readonly codec: Codec) {}

  /** Open the codec of its WebAssembly bytes, which were held to their digest. */
  static async open(wasmBinary: Uint8Array): Promise<JpegCodec> {
    const silent = () => undefined;
    return new JpegCodec((await factory({ wasmBinary, print: silent, printErr: silent })) as Codec);
  }

  /** Decode a stream of 8 bits, grey or of three colours; pixel by pixel. */
  decode(stream: Uint8Array, header: JpegHeader): { data: Uint8Array; channels: 1 | 3 } {
    if (header.samples !== 1 && header.samples !== 3) {
      throw notReadHere("the film is a JPEG of an unusual number of colours", `it has ${header.samples}, and grey or RGB is read here`);
    }
    const decoder = new this.codec.JPEGDecoder();
    try {
      decoder.getEncodedBuffer(stream.length).set(stream);
      decoder.decode();
      const { width, height, componentCount } = decoder.getFrameInfo();
      const data = decoder.getDecodedBuffer().slice();
      if (width !== header.width || height !== header.height || componentCount !== header.samples || data.length !== width * height * componentCount) {
        throw damaged("its header and its picture have different sizes");
      }
      return { data, channels: componentCount === 1 ? 1 : 3 };
    } catch (error) {
      if (error instanceof Error && error.name === "EngineError") throw error;
      throw damaged("its compressed picture cannot be decoded to the end");
    } finally {
      decoder.delete();
    }
  }
}
