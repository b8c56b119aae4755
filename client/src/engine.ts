// A folder that `tbconv page` wrote, proven in this browser, and then films in and answers out.

import { unzipSync } from "fflate";
import { answerOf, rejection } from "./answer.js";
import { EngineError, filmError, proofError } from "./errors.js";
import { openFilm } from "./film/open.js";
import { JpegCodec } from "./film/jpeg.js";
import { modelInput } from "./film/resize.js";
import { Gate } from "./gate.js";
import { GuardedNetwork } from "./guard.js";
import type { Known } from "./guard.js";
import { sha256 } from "./numbers.js";
import { Reference } from "./reference.js";
import { Network } from "./runtime.js";
import type { Answer, Golden, GreyReference, LikenessWeights, Manifest, Opened, Outputs, Site } from "./types.js";

const RUNTIME = "LiteRT.js 2.5.3, WebAssembly, one thread";
const MAX_BYTES = 64 << 20; // of one film's file, as the server takes
const MANIFEST = "papers/manifest.json";
const INSIDE = ["labels.txt", "operating_point.json"]; // of the archive inside a .tflite file

export type FilmSource = Blob | ArrayBuffer | Uint8Array;

export interface LoadOptions {
  /** Told in words what is being done, and how far it is. */
  progress?: (text: string, done: number, total: number) => void;
  signal?: AbortSignal;
  /** How files are fetched; the browser's own where it is left out. */
  fetch?: typeof fetch;
}

/** What was proven in this browser before the first answer. */
export interface Proof {
  files: number; // of the folder, whose digests hold
  films: number; // golden films, each of which gave its model input and every bit of its logits and map
  seconds: number;
  runtime: string;
}

/** Fetch a folder of `tbconv page`, prove it in this browser, and return the model that answers. */
export async function load(url: string | URL, options: LoadOptions = {}): Promise<Model> {
  const folder = new Folder(url, options);
  try {
    return await Model.prove(folder, options);
  } catch (error) {
    if (options.signal?.aborted) {
      throw new EngineError("aborted", "loading was stopped", { why: "its signal was aborted", fix: "Call load again.", cause: error });
    }
    throw error;
  }
}

class Folder {
  readonly base: URL;
  private readonly get: typeof fetch;

  constructor(url: string | URL, private readonly options: LoadOptions) {
    this.base = new URL(url, globalThis.location?.href);
    if (!this.base.pathname.endsWith("/")) this.base.pathname += "/";
    this.base.search = this.base.hash = "";
    this.get = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  async bytes(path: string): Promise<Uint8Array> {
    const place = new URL(path, this.base);
    if (!place.href.startsWith(this.base.href)) throw proofError(`${path} lies outside the folder`, "nothing is ever fetched from elsewhere");
    return fetchBytes(place, path, this.get, this.options.signal);
  }

  /** A file, held to the digest that site.json states of it. */
  async held(path: string, site: Site): Promise<Uint8Array> {
    const digest = site.files[path];
    if (!digest) throw proofError(`site.json names no ${path}`, "what it does not name cannot be held to a digest");
    const bytes = await this.bytes(path);
    await expectDigest(path, bytes, digest);
    return bytes;
  }
}

async function fetchBytes(place: URL, name: string, get: typeof fetch, signal?: AbortSignal): Promise<Uint8Array> {
  let answer: Response;
  try {
    answer = await get(place, { signal, cache: "no-cache", credentials: "same-origin" });
    if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  } catch (error) {
    throw new EngineError("network", `${name} cannot be fetched`, { why: String((error as Error)?.message ?? error), fix: "Check the address and the connection, and reload.", cause: error });
  }
  throw new EngineError("network", `${name} cannot be fetched`, {
    why: `the host answered ${answer.status}`,
    fix: "Copy the whole folder that tbconv page wrote, with every file in it.",
    status: answer.status,
  });
}

async function expectDigest(name: string, bytes: Uint8Array, expected: string): Promise<void> {
  const found = await sha256(bytes);
  if (found !== expected) {
    throw proofError(`${name} has digest ${found.slice(0, 12)}, site.json says ${String(expected).slice(0, 12)}`, "the file changed after it was proven, or comes from another version of the folder");
  }
}

function parse<T>(name: string, bytes: Uint8Array): T {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as T;
  } catch {
    throw proofError(`${name} cannot be understood`, "it is no JSON");
  }
}

/** A WebAssembly file beside this module, held to the digest that was built in. */
async function ownWasm(name: "litert.wasm" | "jpeg.wasm", { fetch: get, signal }: LoadOptions): Promise<Uint8Array> {
  const bytes = await fetchBytes(new URL(name, import.meta.url), name, get ?? globalThis.fetch.bind(globalThis), signal);
  const found = await sha256(bytes);
  if (found !== __WASM__[name]) {
    throw proofError(`${name} has digest ${found.slice(0, 12)}, the engine was built with ${__WASM__[name].slice(0, 12)}`, "the two are not of one version");
  }
  return bytes;
}

/** A proven model: it answers films one after another, for as long as it answers as it was proven. */
export class Model {
  private broken: EngineError | null = null;
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly site: Site,
    readonly manifest: Manifest,
    readonly proof: Proof,
    private readonly gate: Gate,
    private readonly reference: Reference | null,
    private readonly network: GuardedNetwork,
    private readonly codec: JpegCodec,
  ) {}

  /** Called by `load`. */
  static async prove(folder: Folder, options: LoadOptions): Promise<Model> {
    const start = performance.now();
    const site = parse<Site>("site.json", await folder.bytes("site.json"));
    if (site.schema !== 1) throw proofError(`site.json has schema ${String(site.schema)}`, "this engine reads schema 1");
    const { model, golden, answer } = site;
    const total = 2 * golden.length + 6;
    let [done, files] = [0, 0];
    const step = (text: string) => options.progress?.(text, ++done, total);
    const held = async (path: string) => {
      const bytes = await folder.held(path, site);
      files += 1;
      step("checking digests");
      return bytes;
    };
    const bytes = await held(MANIFEST);
    await expectDigest(MANIFEST, bytes, site.manifest_sha256);
    const manifest = parse<Manifest>(MANIFEST, bytes);
    const gate = new Gate(site.gate, parse<LikenessWeights>(site.gate.likeness, await held(site.gate.likeness)));
    const reference = site.reference === null ? null : new Reference(parse<GreyReference>(site.reference, await held(site.reference)));
    const file = await held(model.file);
    checkManifest(manifest, site, file);
    const codec = await JpegCodec.open(await ownWasm("jpeg.wasm", options));
    const { size } = manifest.preprocessing;
    const known: Known[] = [];
    const films: Uint8Array[] = [];
    for (const one of golden) {
      const film = await held(one.film);
      films.push(film);
      known.push(await knownOf(one, film, gate, codec, size));
    }
    step("starting the network");
    const network = await Network.open(file, size, () => ownWasm("litert.wasm", options));
    const guarded = new GuardedNetwork(network, known, answer);
    const proof: Proof = { files, films: golden.length, seconds: 0, runtime: RUNTIME };
    const proven = new Model(site, manifest, proof, gate, reference, guarded, codec);
    try {
      await guarded.prove(() => step("answering golden films"));
      for (const [at, one] of golden.entries()) await proven.proveAnswer(one, films[at], await guarded.answersOf(known[at]));
    } catch (error) {
      guarded.close();
      throw error;
    }
    proof.seconds = (performance.now() - start) / 1000;
    return proven;
  }

  /** Answer one film, as POST /api/v1/screen does; nothing of it leaves this page. */
  async screen(film: FilmSource): Promise<Answer> {
    const bytes = await bytesOf(film);
    return this.inTurn(async () => {
      const opened = openFilm(bytes, this.gate.stated.film, this.codec);
      return { result_id: crypto.randomUUID().replaceAll("-", ""), ...(await this.answer(opened)) };
    });
  }

  /** The film's grey pixels as they are read, whole: for a page that shows it. */
  async picture(film: FilmSource): Promise<{ pixels: Uint8Array; width: number; height: number }> {
    const opened = openFilm(await bytesOf(film), this.gate.stated.film, this.codec);
    if (opened.film) return opened.film.grey;
    throw filmError("there is no picture to draw", this.gate.stated.reasons[opened.rejected!], "Send a frontal film.");
  }

  /** Give the memory back; the model answers nothing afterwards. */
  async close(): Promise<void> {
    if (this.broken) return;
    this.broken = new EngineError("setup", "the model was closed", { why: "close() was called", fix: "Call load again." });
    await this.turn;
    this.network.close();
  }

  /** One film at a time; after a failed proof none. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(async () => {
      if (this.broken) throw this.broken;
      try {
        return await work();
      } catch (error) {
        if (error instanceof EngineError && error.kind === "proof") this.broken = error;
        throw error;
      }
    });
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private async answer(opened: Opened, run = (input: Uint8Array) => this.network.run(input)): Promise<Answer> {
    const { gate, reference } = this;
    const { answer: rules } = this.site;
    const { size } = this.manifest.preprocessing;
    if (opened.rejected) return this.rejected(opened.rejected, rules.limits);
    const { grey, limits } = opened.film!;
    const said = [...rules.limits, ...limits];
    const reason = gate.refuse(opened.film!);
    if (reason) return this.rejected(reason, said);
    const input = modelInput(grey, size);
    const answer = answerOf(await run(input), grey, rules, said);
    if (reference) answer.limits = [...said, ...reference.limits(input, size, answer.margin!, rules.threshold)];
    return answer;
  }

  private rejected(reason: string, limits: string[]): Answer {
    return rejection(reason, this.gate.stated.reasons[reason], this.site.answer, limits);
  }

  /** Hold a golden film's whole answer to the one that Python gave. */
  private async proveAnswer({ name, answer }: Golden, film: Uint8Array, outputs: Outputs): Promise<void> {
    if (!answer) return;
    const found = await this.answer(openFilm(film, this.gate.stated.film, this.codec), async () => outputs);
    const difference = firstDifference("", answer, found);
    if (difference) throw proofError(`golden film ${name} is answered differently in this browser`, difference);
  }
}

/** Open a golden film from its bytes and hold its model input to the digest. */
async function knownOf(golden: Golden, film: Uint8Array, gate: Gate, codec: JpegCodec, size: number): Promise<Known> {
  const { film: opened } = openFilm(film, gate.stated.film, codec);
  const input = opened ? modelInput(opened.grey, size) : new Uint8Array();
  const found = await sha256(input);
  if (found !== golden.model_input_sha256) {
    throw proofError(`golden film ${golden.name} becomes another model input in this browser`, `its digest is ${found.slice(0, 12)}, it was ${golden.model_input_sha256.slice(0, 12)}: the film is decoded or resized in another way`);
  }
  const reason = gate.refuse(opened!);
  if (reason !== golden.gate) {
    throw proofError(`golden film ${golden.name} is judged differently in this browser`, `the gate says ${reason ?? "a chest film"}, it said ${golden.gate ?? "a chest film"}`);
  }
  const { logits, probability, evidence } = golden;
  const outputs = logits && evidence && probability !== null ? {
    logits: Float32Array.from(logits),
    probability: Float32Array.of(probability),
    evidence: Float32Array.from(evidence.flat()),
  } : null;
  return { name: golden.name, input, outputs };
}

/** What site.json states has to be what the bundle's own manifest states, and the model's file of itself. */
function checkManifest(manifest: Manifest, site: Site, file: Uint8Array): void {
  const { answer, model } = site;
  const differs = firstDifference("", manifest, site.manifest);
  if (differs) throw proofError("site.json and the bundle's manifest disagree", differs);
  const { labels, preprocessing, decision_rules, files } = manifest;
  const rule = decision_rules[answer.network];
  const inside = statedInside(file);
  const stated: [string, unknown, unknown][] = [
    ["the threshold", rule?.operating_point.margin, answer.threshold],
    ["the calibration's slope", rule?.calibration.slope, answer.calibration.slope],
    ["the calibration's offset", rule?.calibration.offset, answer.calibration.offset],
    [`the digest of ${model.artefact}`, files[model.artefact]?.sha256, model.sha256],
    ["the model's digest", site.files[model.file], model.sha256],
    ["the way films are prepared", [preprocessing.colour, preprocessing.pad, preprocessing.resample, preprocessing.values].join(), "grey,black,pillow-bilinear,0..255"],
    ["the labels and their order", [labels.negative, labels.positive].join(), inside.labels?.join() ?? [labels.negative, labels.positive].join()],
    ["the threshold inside the model's file", rule?.operating_point.margin, inside.threshold ?? rule?.operating_point.margin],
  ];
  for (const [what, bundle, other] of stated) {
    if (bundle !== other) throw proofError(`the bundle's manifest is contradicted about ${what}`, `it says ${String(bundle)}, and elsewhere stands ${String(other)}`);
  }
}

/** What the model's file states of itself in the archive behind its weights (docs/bundle.md); files of before have none. */
function statedInside(file: Uint8Array): { labels?: string[]; threshold?: number } {
  let inside: Record<string, Uint8Array>;
  try {
    inside = unzipSync(file, { filter: ({ name, originalSize }) => INSIDE.includes(name) && originalSize < 1 << 20 });
  } catch {
    return {};
  }
  const text = (name: string) => (inside[name] ? new TextDecoder().decode(inside[name]) : null);
  const [labels, point] = INSIDE.map(text);
  return {
    labels: labels?.trimEnd().split("\n"),
    threshold: point ? (JSON.parse(point) as { operating_point: { margin: number } }).operating_point.margin : undefined,
  };
}

/** Where two JSON values differ first; null where they are the same. */
function firstDifference(at: string, then: unknown, now: unknown): string | null {
  if (then && now && typeof then === "object" && typeof now === "object") {
    for (const key of new Set([...Object.keys(then), ...Object.keys(now)])) {
      const found = firstDifference(at ? `${at}.${key}` : key, (then as Record<string, unknown>)[key], (now as Record<string, unknown>)[key]);
      if (found) return found;
    }
    return null;
  }
  return Object.is(then, now) || then === now ? null : `${at} is ${JSON.stringify(now)}, it was ${JSON.stringify(then)}`;
}

async function bytesOf(film: FilmSource): Promise<Uint8Array> {
  const size = film instanceof Blob ? film.size : film.byteLength;
  if (size > MAX_BYTES) throw filmError(`the film has ${size} bytes`, `a film's file may have ${MAX_BYTES}`, "Export it compressed, or at a side of 4,096 pixels or less.");
  if (film instanceof Blob) return new Uint8Array(await film.arrayBuffer());
  return film instanceof Uint8Array ? film : new Uint8Array(film);
}
