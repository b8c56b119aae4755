// @tbconv/client: screen chest X-rays in the browser, where the film stays, or at a tbconv server.
// Research tool, not a medical device.

export { load, Model } from "./engine.js";
export type { FilmSource, LoadOptions, Proof } from "./engine.js";
export { EngineError } from "./errors.js";
export type { ErrorKind } from "./errors.js";
export { screenRemote } from "./remote.js";
export type { RemoteOptions } from "./remote.js";
export type { Answer, Calibration, Decision, Site } from "./types.js";

export const VERSION: string = __VERSION__;
