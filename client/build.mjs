// Bundle the engine into dist/: one ES module, two WebAssembly files, types, and the notices of what is in them.
// The same lock file gives the same bytes.

import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const inModules = (...path) => join(HERE, "node_modules", ...path);
const OUT = join(HERE, "dist");
const { version } = JSON.parse(readFileSync(join(HERE, "package.json")));

const WASM = {
  "litert.wasm": inModules("@litertjs/core/wasm/litert_wasm_internal.wasm"),
  "jpeg.wasm": inModules("@cornerstonejs/codec-libjpeg-turbo-8bit/dist/libjpegturbowasm_decode.wasm"),
};
const PACKAGES = ["@litertjs/core", "@cornerstonejs/codec-libjpeg-turbo-8bit", "dicom-parser", "fflate", "jpeg-lossless-decoder-js"];

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT);
const digests = {};
for (const [name, source] of Object.entries(WASM)) {
  const bytes = readFileSync(source);
  writeFileSync(join(OUT, name), bytes);
  digests[name] = createHash("sha256").update(bytes).digest("hex");
}

await build({
  absWorkingDir: HERE,
  entryPoints: ["src/index.ts"],
  outfile: "dist/index.js",
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  define: { __WASM__: JSON.stringify(digests), __VERSION__: JSON.stringify(version) },
  alias: { "@litertjs/wasm-utils": "./src/litert_loader.ts" },
  plugins: [litertLoader(), withoutGpu()],
  external: ["fs", "path", "crypto", "module", "node:*"],
  logLevel: "warning",
  logOverride: { "commonjs-variable-in-esm": "silent" }, // of LiteRT's loader, which is made a module here
});
execFileSync(process.execPath, [inModules(".bin", "tsc"), "--emitDeclarationOnly"], { cwd: HERE, stdio: "inherit" });

const notices = PACKAGES.map((name) => {
  const stated = JSON.parse(readFileSync(inModules(name, "package.json")));
  const found = ["LICENSE", "LICENSE.md", "license"].map((file) => inModules(name, file)).find((file) => tryRead(file));
  const text = found ? readFileSync(found, "utf8").trim() : readFileSync(join(HERE, "notices", `${name.split("/").at(-1)}.txt`), "utf8").trim();
  return `${name} ${stated.version} (${stated.license})\n${"-".repeat(60)}\n${text}\n`;
});
writeFileSync(join(OUT, "NOTICES.txt"), `index.js, litert.wasm and jpeg.wasm hold these packages:\n\n${notices.join("\n\n")}`);

/** LiteRT's loader is a script that sets a global; as a module it exports it. */
function litertLoader() {
  const path = inModules("@litertjs/core/wasm/litert_wasm_internal.js");
  return {
    name: "litert-loader",
    setup({ onResolve, onLoad }) {
      // a path that is the same on every machine: it stands in a comment of the bundle
      onResolve({ filter: /^litert-loader$/ }, () => ({ path: "litert_wasm_internal.js", namespace: "litert-loader" }));
      onLoad({ filter: /.*/, namespace: "litert-loader" }, () => ({
        contents: `${readFileSync(path, "utf8")}\nexport default ModuleFactory;\n`,
        loader: "js",
        resolveDir: dirname(path),
      }));
    },
  };
}

/** LiteRT.js asks for a GPU when it starts, and warns where there is none: the answers were proven without one. */
function withoutGpu() {
  const [asks, asksNot] = ["await Environment.create()", "await Environment.create({ webGpuDevice: null })"];
  return {
    name: "without-gpu",
    setup({ onLoad }) {
      onLoad({ filter: /@litertjs.core.dist.index\.js$/ }, ({ path }) => {
        const text = readFileSync(path, "utf8");
        if (text.split(asks).length !== 2) throw new Error(`${path} no longer holds "${asks}" once: look at how it starts`);
        return { contents: text.replace(asks, asksNot), loader: "js" };
      });
    },
  };
}

function tryRead(file) {
  try {
    return readFileSync(file);
  } catch {
    return null;
  }
}
