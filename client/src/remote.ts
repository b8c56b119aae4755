// One film to a tbconv server: every status of POST /api/v1/screen (docs/api.md) as an answer or an error in three parts.

import { EngineError } from "./errors.js";
import type { ErrorKind } from "./errors.js";
import type { FilmSource } from "./engine.js";
import type { Answer } from "./types.js";

export interface RemoteOptions {
  token?: string; // of `tbconv serve --token`
  signal?: AbortSignal;
  model?: string; // where the server holds several
  version?: string;
  fetch?: typeof fetch;
}

const PATH = "api/v1/screen";

const STATUSES: Record<number, [ErrorKind, string, string]> = {
  400: ["request", "the server cannot read the film", "Export it again as PNG, JPEG or DICOM."],
  401: ["access", "the server wants a token", "Pass the token that its operator gave: screenRemote(url, film, { token })."],
  403: ["access", "the server refuses the token", "Ask its operator for a token that may screen."],
  404: ["request", "the server has no such model or address", "Check the address, and the names of model and version."],
  408: ["network", "the film took too long to arrive", "Send it again, or over a better connection."],
  413: ["request", "the film is too large for the server", "Export it compressed, or at a side of 4,096 pixels or less."],
  415: ["request", "what was sent is no film", "Send a PNG, JPEG or DICOM file."],
  422: ["request", "the server does not accept the message", "Send the film as it is, alone."],
  429: ["busy", "too many films were sent at once", "Try again after `retryAfter` seconds."],
  503: ["busy", "the server cannot answer now", "Try again after `retryAfter` seconds."],
};

/**
 * Screen one film at a server.
 *
 * A picture that is no chest film is an answer with `status` "rejected"; whatever is no answer is an EngineError.
 */
export async function screenRemote(url: string | URL, film: FilmSource, options: RemoteOptions = {}): Promise<Answer> {
  const place = addressOf(url, options);
  const body = new FormData();
  body.append("file", film instanceof Blob ? film : new Blob([film as Uint8Array<ArrayBuffer>]), "film"); // the file's own name stays here
  let answer: Response;
  let said: unknown;
  try {
    const headers: Record<string, string> = options.token ? { authorization: `Bearer ${options.token}` } : {};
    answer = await (options.fetch ?? globalThis.fetch)(place, { method: "POST", body, headers, signal: options.signal });
    said = await answer.json().catch(() => null);
  } catch (error) {
    if (options.signal?.aborted) throw new EngineError("aborted", "screening was stopped", { why: "its signal was aborted", fix: "Send the film again.", cause: error });
    throw new EngineError("network", "the server does not answer", {
      why: `${place.origin} is not reached, or does not allow this page's origin (tbconv serve --cors-origin)`,
      fix: "Check the address and the connection, and send the film again.",
      cause: error,
    });
  }
  if ((answer.ok || answer.status === 422) && isAnswer(said)) return said;
  throw errorOf(answer, said);
}

function addressOf(url: string | URL, { model, version }: RemoteOptions): URL {
  const place = new URL(url, globalThis.location?.href);
  if (!place.pathname.endsWith(PATH)) place.pathname = `${place.pathname.replace(/\/$/, "")}/${PATH}`;
  if (model) place.searchParams.set("model", model);
  if (version) place.searchParams.set("version", version);
  return place;
}

function errorOf(answer: Response, said: unknown): EngineError {
  const { status } = answer;
  const [kind, what, fix] = STATUSES[status] ?? [
    "server",
    answer.ok ? "the server's answer cannot be understood" : `the server failed with status ${status}`,
    answer.ok ? "Check that the address is that of a tbconv server." : "Tell its operator; its log has the reason.",
  ];
  const sentence = (said as { error?: unknown } | null)?.error;
  const why = typeof sentence === "string" && sentence ? sentence : `the status was ${status}, without a reason`;
  return new EngineError(kind, what, { why, fix, status, retryAfter: kind === "busy" ? waitOf(answer) : null });
}

/** Seconds to wait; Retry-After may be a number or a date. */
function waitOf(answer: Response): number {
  const stated = answer.headers.get("retry-after") ?? "";
  const seconds = /^\d+$/.test(stated) ? Number(stated) : (Date.parse(stated) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : 1;
}

function isAnswer(said: unknown): said is Answer {
  const answer = said as Partial<Answer> | null;
  if (!answer || !Array.isArray(answer.limits) || !answer.model) return false;
  if (answer.status === "rejected") return typeof answer.reason === "string";
  return answer.status === "ok" && typeof answer.margin === "number" && typeof answer.decision === "string" && typeof answer.score === "number";
}
