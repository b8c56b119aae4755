"""A tensor that cannot be a film is refused with what the model takes, by every way in; a dark or narrow one is not."""

import json

import numpy as np
import pytest
from PIL import Image

import tbconv
from tbconv.contract.errors import TbconvError
from tbconv.contract.preprocess import TAKES, PreprocessSpec, why_no_film
from torch_train.data.phantom import draw_phantom

FILM = PreprocessSpec().model_input(draw_phantom(3, positive=False).pixels)  # uint8 [224, 224]
MASK = np.zeros((224, 224), np.uint8)
MASK[60:180, 40:100] = MASK[60:180, 124:184] = 1
SOFT_MASK = np.asarray(Image.fromarray(255 * MASK).resize((300, 300)).resize((224, 224), Image.Resampling.BICUBIC))
FLOAT = FILM.astype(np.float32)
IMPOSSIBLE = {
    "divided by 255": (FLOAT / 255, "run from 0 to "),
    "divided by 127.5": (FLOAT / 127.5, "division"),
    "-1 to 1": (FLOAT / 127.5 - 1, "normalisation"),
    "standard scores": ((FLOAT - FLOAT.mean()) / FLOAT.std(), "normalisation"),
    "without ImageNet's mean": (FLOAT - np.float32(123.675), "normalisation"),
    "logarithms": (np.log1p(FLOAT), "fractions"),
    "a mask of 0 and 1": (MASK.astype(np.float32), "mask"),
    "a mask of 0 and 255": (255 * MASK.astype(np.float32), "mask"),
    "a mask of three labels": (np.where(np.arange(224) < 112, MASK, 2 * MASK).astype(np.float32), "mask"),
    "a mask with soft edges": (SOFT_MASK.astype(np.float32), "mask"),
    "black": (np.zeros((224, 224), np.float32), "all its values are 0"),
    "one grey": (np.full((224, 224), 128, np.float32), "all its values are 128"),
    "nearly one grey": (128 + FLOAT / 255, "run from 128 to"),
    "NaN": (np.where(MASK, np.float32(np.nan), FLOAT), "nan"),
    "infinite": (np.where(MASK, np.float32(np.inf), FLOAT), "inf"),
    "12 bits": (FLOAT * 16, "10 to 16 bits"),
}
POSSIBLE = {
    "a film": FILM,
    "dimmed to 40": np.rint(FLOAT * (40 / 255)).astype(np.uint8),
    "dimmed to 40, with fractions": FLOAT * np.float32(40 / 255),
    "narrow": 100 + FILM // 10,
    "ten levels": FILM // 25,
    "four bits": (FILM >> 4) * 17,
    "mostly padding": np.where(np.arange(224) % 224 < 120, 0, FILM),
    "overexposed": np.minimum(FILM.astype(int) * 2, 255).astype(np.uint8),
}
IN_JSON = [name for name in IMPOSSIBLE if name not in ("NaN", "infinite")]


@pytest.mark.parametrize(("levels", "words"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_values_that_no_film_has_are_refused_with_their_likely_cause(levels, words):
    assert words in why_no_film(levels)


@pytest.mark.parametrize("levels", POSSIBLE.values(), ids=POSSIBLE)
def test_a_dark_narrow_or_coarse_film_can_be_a_film(levels):
    assert why_no_film(levels) is None


def test_real_films_pass_however_they_are_dimmed_and_masks_do_not(shared):
    films = [path for name in ("kermany", "delhi", "nih") for path in sorted((shared / name).rglob("*.jpeg"))[:20]]
    films += [path for name in ("delhi", "nih") for path in sorted((shared / name).rglob("*.jpg"))[:20]]
    assert len(films) >= 20
    for path in films:
        levels = PreprocessSpec().from_file(path)
        for one in (levels, levels // 6, (levels >> 4) * 17, levels * np.float32(40 / 255)):
            assert why_no_film(one) is None, path.name
    masks = sorted((shared / "openist" / "mask").iterdir())[:40]
    assert all(why_no_film(PreprocessSpec().from_file(path)) for path in masks)


def ways(levels):
    """Bodies and headers that carry one tensor, by address."""
    tensor = {"name": "image", "shape": [1, 224, 224, 1], "datatype": "FP32"}
    raw = levels.astype("<f4").tobytes()
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}]}).encode()
    yield "/v2/models/tiny/infer", head + raw, {"inference-header-content-length": str(len(head))}
    if np.isfinite(levels).all():
        rows = levels[None, :, :, None].tolist()
        yield "/v2/models/tiny/infer", json.dumps({"inputs": [tensor | {"data": levels.ravel().tolist()}]}).encode(), {}
        yield "/v1/models/tiny:predict", json.dumps({"instances": rows}).encode(), {}
        yield "/v1/models/tiny:predict", json.dumps({"inputs": {"image": rows}}).encode(), {}


def test_both_tensor_protocols_answer_400_with_what_the_model_takes(make_bundle, serve):
    with serve(make_bundle(), artefact="model_float32.tflite") as client:
        for name, (levels, words) in IMPOSSIBLE.items():
            for address, body, headers in ways(levels):
                answer = client.post(address, content=body, headers=headers)
                assert answer.status_code == 400, (name, address, answer.text[:100])
                said = answer.json()["error"]
                assert (words in said, TAKES in said) == (True, True), (name, said)
        for name, levels in POSSIBLE.items():
            for address, body, headers in ways(levels.astype(np.float32)):
                assert client.post(address, content=body, headers=headers).status_code == 200, (name, address)


def test_one_impossible_film_among_good_ones_is_found(make_bundle, serve):
    batch = np.stack([FILM, FILM // 255, FILM]).astype(np.float32)
    with serve(make_bundle(), artefact="model_float32.tflite") as client:
        answer = client.post("/v1/models/tiny:predict", json={"instances": batch[..., None].tolist()})
    assert (answer.status_code, "film 1 has no grey levels" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("shape", [(1, 1, 224, 224), (224, 224), (1, 224, 224), (1, 224, 224, 3), (1, 256, 256, 1)])
def test_another_layout_is_refused_with_the_one_that_the_model_takes(client, shape):
    values = np.resize(FILM, shape)
    tensor = {"name": "image", "shape": list(shape), "datatype": "UINT8", "data": values.ravel().tolist()}
    answers = [client.post("/v2/models/tiny/infer", json={"inputs": [tensor]})]
    answers.append(client.post("/v1/models/tiny:predict", json={"instances": values.tolist()}))
    for answer in answers:
        assert answer.status_code == 400
        assert "[-1, 224, 224, 1]" in answer.json()["error"]


def test_the_screening_api_takes_no_tensor_and_says_what_came(client):
    body = json.dumps({"instances": FILM[None].tolist()}).encode()
    answer = client.post("/api/v1/screen", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, "JSON" in answer.json()["error"]) == (415, True)


def test_the_python_api_refuses_the_same_arrays_and_answers_the_same_films(make_bundle):
    model = tbconv.load(make_bundle())
    for name, (levels, _) in IMPOSSIBLE.items():
        with pytest.raises(TbconvError) as caught:
            model.predict(levels)
        assert "grey levels as they were decoded" in str(caught.value), name
    for levels in (MASK, 255 * MASK, SOFT_MASK, np.zeros((224, 224), np.uint8), MASK.astype(np.uint16)):
        with pytest.raises(TbconvError, match="cannot be a film"):
            model.predict(levels)
    for levels in (FILM, POSSIBLE["narrow"], FILM.astype(np.uint16) * 16):
        assert model.predict(levels).status in ("ok", "rejected")
    for layout in (FILM[..., None], FILM[None], np.stack([FILM] * 3, axis=2), FILM.astype(bool), FILM.tolist()):
        with pytest.raises(TbconvError, match="cannot be read"):
            model.predict(layout)
