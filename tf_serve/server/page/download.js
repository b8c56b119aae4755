// Answers as a file on the reader's own disk.

import { make } from "./dom.js";

export function save(name, value) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// One answer with the digest of its film, by which it is found again; the film's name stays out of the file.
export function packed(film) {
  return { film_sha256: film.sha256, answered_at: film.at, ...(film.answer ?? { error: film.error?.text ?? "not answered yet" }) };
}
