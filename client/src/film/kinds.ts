// What a file is that is no film, read from its first bytes: for a refusal that says what came instead.

const STARTS: [string, string][] = [
  ["%PDF", "a PDF"],
  ["GIF8", "a GIF"],
  ["BM", "a BMP"],
  ["II*\0", "a TIFF"],
  ["MM\0*", "a TIFF"],
  ["PK\x03\x04", "a ZIP archive"],
  ["\x1f\x8b", "a gzip archive"],
  ["7z\xbc\xaf", "a 7z archive"],
  ["Rar!", "a RAR archive"],
  ["\0\0\0\x0cjP", "a JPEG 2000"],
  ["\xff\x4f\xff\x51", "a JPEG 2000"],
  ["RIFF", "a WebP or another RIFF file"],
  ["version https://git-lfs", "a Git LFS pointer, not the file itself (git lfs pull fetches it)"],
];

export function whatItIs(data: Uint8Array): string {
  if (!data.length) return "the file is empty";
  const head = String.fromCharCode(...data.subarray(0, 512));
  const kind = STARTS.find(([start]) => head.startsWith(start))?.[1];
  const text = head.trimStart().toLowerCase();
  const page = /^(<!doctype html|<html|<head|<body)/.test(text) ? "a web page (HTML), as a download that needs a login leaves it" : null;
  const bare = /^[\x02\x08]\0/.test(head) ? "DICOM without its usual preamble, which a tbconv server reads" : null;
  return `its first bytes are those of ${kind ?? page ?? bare ?? "none of them"}`;
}
