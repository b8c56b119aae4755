// Which way up a picture is shown: EXIF's tag, or XMP's where EXIF has none, as Pillow's exif_transpose reads them.

import { damaged, notReadHere } from "../errors.js";

const ORIENTATION = 0x0112;
const WHOLE: Record<number, 1 | 2 | 4> = { 1: 1, 3: 2, 4: 4 }; // BYTE, SHORT, LONG

/** 1 to 8, as EXIF numbers them; 1 where nothing is said. */
export function orientationOf(exif: Uint8Array | null, xmp: Uint8Array | null): number {
  const stated = exif ? ofExif(exif) : null;
  if (stated !== null) return stated >= 1 && stated <= 8 ? stated : 1;
  const text = xmp ? new TextDecoder("latin1").decode(xmp) : "";
  const match = /tiff:Orientation(="|>)([0-9])/.exec(text);
  const number = match ? Number(match[2]) : 1;
  return number >= 1 && number <= 8 ? number : 1;
}

function ofExif(data: Uint8Array): number | null {
  while (isExif(data)) data = data.subarray(6);
  if (!data.length) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  try {
    const order = view.getUint16(0);
    if (order !== 0x4949 && order !== 0x4d4d) throw damaged("its EXIF data begin with no byte order");
    const little = order === 0x4949;
    if (view.getUint16(2, little) !== 42) throw notReadHere("the film's EXIF data are of a kind that is not read here", "they are no classic TIFF");
    const start = view.getUint32(4, little);
    for (let left = view.getUint16(start, little), at = start + 2; left > 0; left--, at += 12) {
      if (view.getUint16(at, little) !== ORIENTATION) continue;
      const size = WHOLE[view.getUint16(at + 2, little)];
      if (!size || view.getUint32(at + 4, little) !== 1) {
        throw notReadHere("the film states its orientation in an unusual way", "EXIF has one whole number for it");
      }
      return size === 1 ? view.getUint8(at + 8) : size === 2 ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
    }
    return null;
  } catch (error) {
    if (error instanceof RangeError) throw notReadHere("the film's EXIF data are cut short", "they end before their own list does");
    throw error;
  }
}

export function isExif(data: Uint8Array): boolean {
  return data.length >= 6 && String.fromCharCode(...data.subarray(0, 6)) === "Exif\0\0";
}

/** Turn pixels of any number of channels the way EXIF states. */
export function upright<T extends Uint8Array | Uint16Array>(
  data: T,
  width: number,
  height: number,
  channels: number,
  orientation: number,
): { data: T; width: number; height: number } {
  if (orientation === 1) return { data, width, height };
  const turned = orientation >= 5;
  const [w, h] = turned ? [height, width] : [width, height];
  const out = new (data.constructor as { new (length: number): T })(data.length);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      // where the pixel shown at x, y lies in the file
      const [row, column] = turned ? [x, y] : [y, x];
      const mirrorColumn = [2, 3, 7, 8].includes(orientation);
      const mirrorRow = [3, 4, 6, 7].includes(orientation);
      const from = ((mirrorRow ? height - 1 - row : row) * width + (mirrorColumn ? width - 1 - column : column)) * channels;
      const to = (y * w + x) * channels;
      for (let channel = 0; channel < channels; channel++) out[to + channel] = data[from + channel];
    }
  }
  return { data: out, width: w, height: h };
}
