"""docs/examples/predict.js in Chromium: one load, one film after another, the margins that Python gives."""

import base64
import shutil
from pathlib import Path

import pytest
from draw_engine_films import draw_phantom_film, save

from tbconv.contract.preprocess import PreprocessSpec
from tf_serve.runtime.tflite import TFLiteModel

ROOT = Path(__file__).parents[4]
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body>
<script type="importmap">{"imports": {
  "@litertjs/core": "/node_modules/@litertjs/core/dist/index.js",
  "@litertjs/wasm-utils": "/node_modules/@litertjs/wasm-utils/dist/index.js",
  "fflate": "/node_modules/fflate/esm/browser.js"
}}</script>
<script type="module">import { open, predict } from "./predict.js";
const blob = (text) => new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], { type: "image/png" });
globalThis.answer = async (films) => {
  const opened = await open("./model.tflite"), answers = [];
  for (const film of films) answers.push(await predict(opened, blob(film)));
  return answers;
};</script></body>"""


@pytest.mark.parametrize("artefact", ["model_int8.tflite", "model_float32.tflite"])
def test_one_load_answers_film_after_film_as_python_does(
    artefact, built_client, engine_bundle, append_metadata, host, browser, tmp_path
):
    root = engine_bundle(append=append_metadata)
    (tmp_path / "example").mkdir()
    shutil.copyfile(root / artefact, tmp_path / "example" / "model.tflite")
    example = built_client.parents[0] / "client"
    shutil.copyfile(ROOT / "docs/examples/predict.js", tmp_path / "example" / "predict.js")
    (tmp_path / "example" / "index.html").write_text(PAGE)
    (tmp_path / "example" / "node_modules").symlink_to(example / "node_modules")
    films = [save(draw_phantom_film(seed, 300 + 20 * seed, 280)) for seed in range(6)]
    page = browser.new_page()
    page.goto(host(tmp_path / "example").url)
    page.wait_for_function("() => Boolean(globalThis.answer)")  # a function by itself would be called
    asked = page.evaluate("films => answer(films)", [base64.b64encode(film).decode() for film in films])
    page.close()
    model, spec = TFLiteModel(root / artefact), PreprocessSpec()
    margins = [float(model.predict(spec.from_bytes(film)).margin[0]) for film in films]
    assert len(set(margins)) >= len(films) - 1  # an int8 file may give two films one margin
    assert [one["margin"] for one in asked] == pytest.approx(margins, abs=1e-6)
    assert [one["refer"] for one in asked] == [margin >= 0.0 for margin in margins]
