// Stands in for @litertjs/wasm-utils, which adds a script element to the page: LiteRT's own loader is bundled here
// instead and gets bytes that were held to their digest, so that it works under a strict policy and in a module worker.

import factory from "litert-loader";

let bytes: Uint8Array | null = null;

export function provide(wasmBinary: Uint8Array): void {
  bytes = wasmBinary;
}

export async function createWasmLib<T>(constructor: new (module: unknown) => T): Promise<T> {
  if (!bytes) throw new Error("LiteRT was started without its WebAssembly bytes");
  const wasmBinary = bytes;
  bytes = null;
  return new constructor(await factory({ wasmBinary, printErr: () => undefined }));
}
