// Packages without types of their own.

declare module "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs" {
  const factory: (options: object) => Promise<unknown>;
  export default factory;
}

declare module "litert-loader" {
  const factory: (options: object) => Promise<unknown>;
  export default factory;
}

declare const __WASM__: Record<"litert.wasm" | "jpeg.wasm", string>; // SHA-256, written by build.mjs
declare const __VERSION__: string;

declare module "jpeg-lossless-decoder-js" {
  export class Decoder {
    decode(buffer: ArrayBuffer, offset: number, length: number, bytes?: 1 | 2): Uint8Array | Uint16Array | null;
  }
}
