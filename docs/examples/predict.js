// Answer films in a browser with a .tflite file alone: npm install @litertjs/core fflate
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { strFromU8, unzipSync } from "fflate";

// Pillow's BILINEAR along each row, bit for bit: antialiased, as a canvas is not, with weights of 22 bits.
// It transposes, so twice is a whole resize.
function resizeRows(grey, rows, from, to) {
  const scale = from / to, reach = Math.max(scale, 1), out = new Uint8Array(to * rows);
  for (let x = 0; x < to; x++) {
    const centre = (x + 0.5) * scale, first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(from, Math.trunc(centre + reach + 0.5)), raw = [];
    for (let i = first; i < last; i++) raw.push(Math.max(0, 1 - Math.abs((i - centre + 0.5) / reach)));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    const weights = raw.map((weight) => Math.trunc((weight / total) * 2 ** 22 + 0.5));
    for (let y = 0; y < rows; y++)
      out[x * rows + y] = weights.reduce((sum, w, i) => sum + w * grey[y * from + first + i], 2 ** 21) >> 22;
  }
  return out;
}

// Once a page: fetch the file and compile it. `wasm` is where node_modules/@litertjs/core/wasm/ is served.
export async function open(modelUrl, wasm = "/node_modules/@litertjs/core/wasm/") {
  const file = new Uint8Array(await (await fetch(modelUrl)).arrayBuffer());
  const inside = unzipSync(file), read = (name) => JSON.parse(strFromU8(inside[name]));
  const { size } = read("preprocessing.json"), decision = read("operating_point.json");
  await loadLiteRt(wasm);
  return { model: await loadAndCompile(file, { accelerator: "wasm" }), size, decision };
}

// For each film, one after the other: the tensors of a film are given back, or its memory is never freed.
export async function predict({ model, size, decision }, film) {
  const bitmap = await createImageBitmap(film, { colorSpaceConversion: "none" });
  const side = Math.max(bitmap.width, bitmap.height), canvas = new OffscreenCanvas(side, side).getContext("2d");
  canvas.fillRect(0, 0, side, side); // black
  canvas.drawImage(bitmap, Math.floor((side - bitmap.width) / 2), Math.floor((side - bitmap.height) / 2));
  const grey = canvas.getImageData(0, 0, side, side).data.filter((_, i) => i % 4 === 0); // red: films are grey
  const square = resizeRows(resizeRows(grey, side, side, size), size, side, size);
  const values = model.getInputDetails()[0].dtype === "uint8" ? square : Float32Array.from(square);
  const image = new Tensor(values, [1, size, size, 1]), answer = await model.run("serving_default", { image });
  const [negative, positive] = await answer.logits.data(), margin = positive - negative;
  for (const tensor of [image, ...Object.values(answer)]) tensor.delete();
  const threshold = decision.operating_point.margin;
  return { margin, threshold, refer: margin >= threshold, limits: decision.limits };
}
