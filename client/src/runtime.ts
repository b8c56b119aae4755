// The network in LiteRT.js: opened once, asked many times, on one thread; what comes back are copies.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";
import type { CompiledModel } from "@litertjs/core";
import { EngineError, proofError } from "./errors.js";
import { provide } from "./litert_loader.js";
import type { Outputs } from "./types.js";

const SIGNATURE = "serving_default";
const SHAPES: Record<keyof Outputs, number[]> = { logits: [1, 2], probability: [1, 1], evidence: [1, 7, 7] };
const NAMES = Object.keys(SHAPES) as (keyof Outputs)[];

let runtime: Promise<unknown> | null = null;

/** Start LiteRT.js, once a page; whoever comes later waits for the same one. */
async function start(wasm: () => Promise<Uint8Array>): Promise<void> {
  if (!(await supportsFeature("relaxedSimd"))) {
    throw new EngineError("setup", "this browser cannot run the network", {
      why: "its WebAssembly has no relaxed SIMD, and the answers were proven with it",
      fix: "Use Chrome or Edge 114, Firefox 145, or a newer one.",
    });
  }
  runtime ??= wasm().then((bytes) => {
    provide(bytes);
    return loadLiteRt("./");
  });
  try {
    await runtime;
  } catch (error) {
    runtime = null;
    if (error instanceof EngineError) throw error;
    throw new EngineError("setup", "LiteRT.js cannot be started in this browser", {
      why: said(error),
      fix: "Allow WebAssembly ('wasm-unsafe-eval' in script-src), or use another browser.",
      cause: error,
    });
  }
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split("\n")[0].slice(0, 300);

export class Network {
  private constructor(
    private readonly compiled: CompiledModel,
    private readonly takes: "uint8" | "float32",
    readonly side: number,
  ) {}

  static async open(file: Uint8Array, side: number, wasm: () => Promise<Uint8Array>): Promise<Network> {
    await start(wasm);
    let compiled: CompiledModel;
    try {
      compiled = await loadAndCompile(file, { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
    } catch (error) {
      throw proofError("LiteRT.js cannot open the model", said(error));
    }
    const takes = checkTensors(compiled, side);
    return new Network(compiled, takes, side);
  }

  /** Run one model input, `side` x `side` grey levels. */
  async run(input: Uint8Array): Promise<Outputs> {
    const values = this.takes === "uint8" ? Uint8Array.from(input) : Float32Array.from(input);
    const tensor = new Tensor(values, [1, this.side, this.side, 1]);
    let answers: Record<string, Tensor> = {};
    try {
      answers = await this.compiled.run(SIGNATURE, { image: tensor });
      const rows = await Promise.all(NAMES.map(async (name) => (await answers[name].data()).slice()));
      return Object.fromEntries(NAMES.map((name, at) => [name, rows[at]])) as unknown as Outputs;
    } catch (error) {
      throw proofError("LiteRT.js failed on a film", said(error));
    } finally {
      tensor.delete();
      for (const answer of Object.values(answers)) answer.delete();
    }
  }

  close(): void {
    this.compiled.delete();
  }
}

function checkTensors(compiled: CompiledModel, side: number): "uint8" | "float32" {
  const signature = compiled.signatures[SIGNATURE];
  if (!signature) throw proofError("the model is not a network of tbconv", `it has no signature ${SIGNATURE}`);
  const inputs = signature.getInputDetails();
  const outputs = signature.getOutputDetails();
  const [image] = inputs;
  if (inputs.length !== 1 || image.name !== "image") {
    throw proofError("the model is not a network of tbconv", `it takes ${inputs.map((one) => one.name).join(", ")}`);
  }
  const shapes: [string, ArrayLike<number>, number[]][] = [["image", image.shape, [1, side, side, 1]]];
  for (const name of NAMES) {
    const found = outputs.find((one) => one.name === name);
    if (!found || found.dtype !== "float32") throw proofError("the model is not a network of tbconv", `it does not give ${name} in float32`);
    shapes.push([name, found.shape, SHAPES[name]]);
  }
  for (const [name, shape, expected] of shapes) {
    if (Array.from(shape).join() !== expected.join()) {
      const open = Array.from(shape).includes(-1) ? ", and LiteRT.js answers wrongly where a shape is open" : "";
      throw proofError("the model has tensors of another shape", `${name} is [${Array.from(shape).join(", ")}] and not [${expected.join(", ")}]${open}`);
    }
  }
  if (image.dtype !== "uint8" && image.dtype !== "float32") throw proofError("the model is not a network of tbconv", `it takes ${image.dtype}`);
  return image.dtype;
}
