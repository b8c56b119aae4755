"""Hold what `TFLiteModel` promises to everything that measures or serves through it."""

import numpy as np
import pytest

from tbconv.contract.errors import ArtefactError
from tf_serve.runtime.tflite import TFLiteModel


@pytest.fixture
def films():
    return np.random.default_rng(3).integers(0, 256, (3, 224, 224, 1)).astype(np.float32)


@pytest.mark.parametrize("xnnpack", [True, False])
@pytest.mark.parametrize(("name", "dtype"), [("model_float32", "float32"), ("model_int8", "uint8")])
def test_both_kernel_sets_answer_every_film_with_named_outputs(networks, films, name, dtype, xnnpack):
    model = TFLiteModel(networks / f"{name}.tflite", xnnpack=xnnpack)
    answer = model.predict(films)
    assert (answer.logits.shape, answer.probability.shape, answer.evidence.shape) == ((3, 2), (3, 1), (3, 7, 7))
    assert [(spec.name, spec.dtype, spec.shape) for spec in model.inputs] == [("image", dtype, (-1, 224, 224, 1))]
    assert {spec.name for spec in model.outputs} == {"logits", "probability", "evidence"}


def test_the_margin_is_the_mean_of_the_evidence(networks, films):
    answer = TFLiteModel(networks / "model_float32.tflite").predict(films)
    np.testing.assert_allclose(answer.margin, answer.evidence.mean(axis=(1, 2)), rtol=0, atol=1e-5)


def test_a_batch_gives_what_its_films_give_alone(networks, films):
    model = TFLiteModel(networks / "model_int8.tflite")
    alone = [model.predict(film[None]).logits[0] for film in films]
    np.testing.assert_array_equal(model.predict(films).logits, alone)


def test_outputs_are_copies_that_a_later_film_leaves_alone(networks, films):
    model = TFLiteModel(networks / "model_float32.tflite")
    first = model.predict(films[:1])
    kept = first.logits.copy(), first.evidence.copy()
    model.predict(255 - films[1:])
    np.testing.assert_array_equal(first.logits, kept[0])
    np.testing.assert_array_equal(first.evidence, kept[1])


def test_the_uint8_file_refuses_grey_levels_that_it_would_have_to_round(networks, films):
    model = TFLiteModel(networks / "model_int8.tflite")
    with pytest.raises(ValueError, match="whole grey levels"):
        model.predict(films + 0.25)
    with pytest.raises(ValueError, match="whole grey levels"):
        model.predict(films - 1)


def test_films_of_another_shape_are_a_mistake_of_the_program(networks, films):
    model = TFLiteModel(networks / "model_float32.tflite")
    with pytest.raises(ValueError, match="takes films of"):
        model.predict(films[:, :100])
    with pytest.raises(ValueError, match="takes films of"):
        model.predict(films[:0])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_off_anywhere_is_an_error_and_no_crash(networks, tmp_path, share):
    whole = (networks / "model_int8.tflite").read_bytes()
    place = tmp_path / "cut.tflite"
    place.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ArtefactError, match=r"cut\.tflite"):
        TFLiteModel(place)


def test_a_missing_or_foreign_file_is_an_artefact_error(tmp_path):
    (tmp_path / "foreign.tflite").write_bytes(b"PK\x03\x04 something else entirely")
    for name in ("foreign.tflite", "missing.tflite"):
        with pytest.raises(ArtefactError, match=name):
            TFLiteModel(tmp_path / name)
