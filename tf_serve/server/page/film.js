// A file becomes something to draw: by the browser where it sees what the server sees, by the server where not.

import { picture } from "./api.js";

const DICOM_AT = 128; // a DICOM file has 128 bytes of anything, then these letters
const PNG_DEPTH_AT = 24; // of the IHDR chunk: bits a channel
const HEAD_BYTES = 132;
const THUMB_SIDE = 96; // pixels

// What a file is, by its first bytes; its name and the type that the system guesses may be wrong.
export async function sniff(file) {
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const letters = (from, to) => String.fromCharCode(...head.slice(from, to));
  if (letters(DICOM_AT, DICOM_AT + 4) === "DICM") return { type: "application/dicom", drawn: "server" };
  if (letters(1, 4) === "PNG") return { type: "image/png", drawn: head[PNG_DEPTH_AT] > 8 ? "server" : "browser" };
  if (head[0] === 0xff && head[1] === 0xd8) return { type: "image/jpeg", drawn: "browser" };
  const named = /\.(dcm|dicom)$/i.test(file.name) || file.type === "application/dicom";
  return { type: named ? "application/dicom" : file.type || "application/octet-stream", drawn: "server" };
}

// The film's bytes under the type that they have, without its name.
export async function wrap(file) {
  const { type, drawn } = await sniff(file).catch(() => {
    throw new Error("This cannot be read. Of a folder, choose the films in it.");
  });
  return { blob: new Blob([file], { type }), type, drawn };
}

// An ImageBitmap, or null where there is no picture.
export async function open({ blob, drawn }) {
  if (drawn === "browser") {
    const bitmap = await createImageBitmap(blob).catch(() => null);
    if (bitmap) return bitmap;
  }
  const drawable = await picture(blob).catch(() => null);
  return drawable ? createImageBitmap(drawable).catch(() => null) : null;
}

// A small grey picture for the film's row.
export function thumbnail(bitmap, canvas) {
  const factor = THUMB_SIDE / Math.max(bitmap.width, bitmap.height);
  canvas.width = Math.max(1, Math.round(bitmap.width * factor));
  canvas.height = Math.max(1, Math.round(bitmap.height * factor));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

// The file's SHA-256, by which a report names its film; null where the browser has no crypto (plain http elsewhere).
export async function digest(blob) {
  if (!globalThis.crypto?.subtle) return null;
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
