// What can go wrong, in three parts, as everywhere in tbconv: what happened, why it matters or came about, what to do.

export type ErrorKind =
  | "film" // this film is not read; the next one may be
  | "proof" // the engine or the model failed its proof: nothing is answered
  | "setup" // this browser or this address cannot run the engine
  | "aborted" // the caller's own signal
  | "network" // nothing came back from the server
  | "access" // 401, 403: the token
  | "request" // 400, 404, 413, 415, 422: what was sent is not answered
  | "busy" // 429, 503: try again after `retryAfter` seconds
  | "server"; // 500 and whatever else

export class EngineError extends Error {
  readonly kind: ErrorKind;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
  readonly status: number | null; // of the server's answer; null where none was asked
  readonly retryAfter: number | null; // seconds

  constructor(
    kind: ErrorKind,
    what: string,
    { why, fix, status = null, retryAfter = null, cause }: ErrorParts,
  ) {
    super(`${what} (${why}). ${fix}`, { cause });
    this.name = "EngineError";
    this.kind = kind;
    this.what = what;
    this.why = why;
    this.fix = fix;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export interface ErrorParts {
  why: string;
  fix: string;
  status?: number | null;
  retryAfter?: number | null;
  cause?: unknown;
}

/** A film that this engine does not read: damaged, too large, of another kind, or read by the server alone. */
export function filmError(what: string, why: string, fix: string): EngineError {
  return new EngineError("film", what, { why, fix });
}

export const damaged = (why: string): EngineError =>
  filmError("the film is damaged", why, "Export or download the film again.");

const SERVER_READS = "Screen it with `tbconv predict` or at a tbconv server, or export it as a grey PNG.";

/** A film that tbconv reads in Python and this engine does not: it is refused, never read in another way. */
export const notReadHere = (what: string, why: string): EngineError => filmError(what, why, SERVER_READS);

/** A figure so near to a boundary that another processor's rounding could fall on the other side of it. */
export const tooClose = (what: string): EngineError =>
  filmError(
    "the film cannot be answered in a browser",
    `${what} lies so near to its boundary that rounding alone decides`,
    SERVER_READS,
  );

export const WRITE_AGAIN =
  "Reload the page, for an old copy may be in the browser's cache; if it stays, write the folder again: tbconv page BUNDLE --out SITE";

/** The engine, the model or the folder is not what was proven: nothing is answered. */
export function proofError(what: string, why: string, fix: string = WRITE_AGAIN): EngineError {
  return new EngineError("proof", what, { why, fix });
}
