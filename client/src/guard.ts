// What a network may answer while it answers: bit for bit what it answered when the folder was written, to golden
// films; and to every film what one network alone can answer. A runtime that goes wrong does so without an exception.

import { filmError, proofError } from "./errors.js";
import { marginOf, probabilityOf } from "./answer.js";
import type { Network } from "./runtime.js";
import type { AnswerRules, Outputs } from "./types.js";

const IDENTITY = 1e-4; // logits: |margin - mean(evidence)| in float32 (tbconv/contract/statistics.py)
const PROBABILITY_STEPS = 2 / 256;
// LiteRT's sigmoids differ in their last bits between processors (one float32 step between AVX-512 and WebAssembly); no
// answer shows that output, which is computed from the margin instead. Logits and map have to be the same to the bit.
const SIGMOID = 1e-6;
const REMEMBERED = 1024; // answers whose bits are compared with later ones
const PROVE_EVERY = 32; // answers after which a golden film is run again
const NAMES = ["logits", "probability", "evidence"] as const;

export interface Known {
  name: string;
  input: Uint8Array;
  outputs: Outputs | null; // null where the writer's machine did not vouch for them: then this browser's first ones count
}

interface Vouched extends Known {
  outputs: Outputs;
}

export class GuardedNetwork {
  private vouched: Vouched[] = [];
  private seen = new Map<string, string>(); // outputs -> the input that had them
  private answers = 0;
  private next = 0;
  private allowed = IDENTITY;

  constructor(
    private readonly network: Network,
    private readonly known: Known[],
    private readonly rules: AnswerRules,
  ) {}

  /** Run every golden film, each of them after another one, and the first once more at the end. */
  async prove(step: (name: string) => void): Promise<void> {
    const films = this.known.filter((one): one is Vouched => one.outputs !== null);
    if (films.length < 2) throw proofError("the folder has too few golden films", "one answer cannot tell whether a second one is its own");
    for (const one of [...films, films[0]]) {
      step(one.name);
      await this.repeat(one);
    }
    this.vouched = films;
    this.allowed = Math.max(IDENTITY, 2 * Math.max(...films.map(({ outputs }) => identityError(outputs))));
  }

  /** What a golden film is answered: as it was recorded, or, where nothing was, as this browser answers it now. */
  async answersOf(known: Known): Promise<Outputs> {
    return known.outputs ?? this.network.run(known.input);
  }

  /** Answer one model input. */
  async run(input: Uint8Array): Promise<Outputs> {
    let outputs = await this.network.run(input);
    const suspicion = this.suspicionOf(input, outputs);
    if (suspicion) {
      // a film can be at fault, too: only a network that still answers golden films, and this one again, is believed
      const golden = this.vouched.find((one) => !sameBytes(one.input, input)) ?? this.vouched[0];
      await this.repeat(golden, suspicion);
      const again = await this.network.run(input);
      const moved = differenceOf(outputs, again);
      if (moved) throw proofError("the network does not answer a film twice alike", `${suspicion}; ${moved}`);
      if (sameBits(again, golden.outputs)) throw proofError("the network answers another film", `${suspicion}; it gave the answer of golden film ${golden.name}`);
      outputs = again;
    }
    this.check(outputs);
    this.remember(input, outputs);
    this.answers += 1;
    if (this.answers % PROVE_EVERY === 0) {
      await this.repeat(this.vouched[this.next], `the last ${PROVE_EVERY} answers came since it was right`);
      this.next = (this.next + 1) % this.vouched.length;
    }
    return outputs;
  }

  close(): void {
    this.network.close();
  }

  private async repeat({ name, input, outputs }: Vouched, since?: string): Promise<void> {
    const found = await this.network.run(input);
    const difference = differenceOf(outputs, found);
    if (!difference) return;
    throw proofError(
      `golden film ${name} is answered differently in this browser`,
      since ? `${difference}; ${since}` : difference,
      "Use another browser, or screen at a tbconv server; if it stays in all of them, write the folder again: tbconv page BUNDLE --out SITE",
    );
  }

  private suspicionOf(input: Uint8Array, outputs: Outputs): string | null {
    if (NAMES.every((name) => outputs[name].every((value) => value === 0))) return "all its outputs are 0";
    const before = this.seen.get(keyOf(outputs)) ?? this.vouched.find((one) => sameBits(one.outputs, outputs) && !sameBytes(one.input, input))?.name;
    return before !== undefined && before !== digestOf(input) ? "it gave the very answer of another film" : null;
  }

  /** What holds of every answer of a sound network, whatever the film. */
  private check(outputs: Outputs): void {
    for (const name of NAMES) {
      if (!outputs[name].every(Number.isFinite)) throw proofError("the network returned an invalid output", `${name} held NaN or infinity`);
    }
    const error = identityError(outputs);
    if (error > this.allowed) {
      throw proofError("the network returned an invalid output", `the margin and the mean of its map are ${error.toExponential(1)} apart, allowed are ${this.allowed.toExponential(1)}`);
    }
    const [low, high] = this.rules.margins;
    const margin = marginOf(outputs);
    if (!(margin >= low && margin <= high)) {
      throw filmError("the network's answer to this film is not believed", `its margin ${margin.toPrecision(3)} lies outside ${low.toPrecision(3)} to ${high.toPrecision(3)}`, "Have a person read the film.");
    }
    const apart = Math.abs(outputs.probability[0] - probabilityOf(margin, this.rules));
    if (apart > PROBABILITY_STEPS) {
      throw proofError("the network returned an invalid output", `its probability is ${apart.toExponential(1)} off that of its margin`);
    }
  }

  private remember(input: Uint8Array, outputs: Outputs): void {
    if (this.seen.size >= REMEMBERED) this.seen.delete(this.seen.keys().next().value!);
    this.seen.set(keyOf(outputs), digestOf(input));
  }
}

function identityError(outputs: Outputs): number {
  const mean = outputs.evidence.reduce((sum, value) => sum + value, 0) / outputs.evidence.length;
  return Math.abs(marginOf(outputs) - mean);
}

/** The first value that differs, in words; null where logits and map are the same to the bit. */
function differenceOf(then: Outputs, now: Outputs): string | null {
  for (const name of NAMES) {
    const [a, b] = [then[name], now[name]];
    if (a.length !== b.length) return `${name} has ${b.length} values and not ${a.length}`;
    const apart = name === "probability" ? (x: number, y: number) => !(Math.abs(x - y) <= SIGMOID) : (x: number, y: number) => !Object.is(x, y);
    const at = a.findIndex((value, index) => apart(value, b[index]));
    if (at >= 0) return `${name}[${at}] is ${b[at]}, it was ${a[at]}`;
  }
  return null;
}

const sameBits = (one: Outputs, other: Outputs): boolean => differenceOf(one, other) === null;

const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => one.every((value, at) => value === other[at]);

const keyOf = (outputs: Outputs): string => NAMES.map((name) => outputs[name].join()).join("|");

/** A short digest (FNV-1a, twice): it tells one film from another, and protects nothing. */
function digestOf(input: Uint8Array): string {
  let [a, b] = [0x811c9dc5, 0x1000193];
  for (let at = 0; at < input.length; at++) {
    a = Math.imul(a ^ input[at], 0x01000193);
    b = Math.imul(b ^ input[at], 0x85ebca6b) + at;
  }
  return `${a >>> 0}.${b >>> 0}`;
}

