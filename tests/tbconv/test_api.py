"""The Python API: typed, lazy, and the same answers as the command."""

import inspect
import json
import typing
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

import tbconv
from tbconv import api


def test_everything_that_is_offered_is_there_and_listed():
    assert {name for name in tbconv.__all__ if not hasattr(tbconv, name)} == set()
    assert set(dir(tbconv)) == set(tbconv.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tbconv.nonsense


@pytest.mark.parametrize("name", ["load", "train", "convert", "convert_onnx", "verify", "score"])
def test_every_function_is_typed_and_says_what_it_raises(name):
    function = getattr(tbconv, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())
    assert "Raises:" in function.__doc__


def test_the_recipe_names_every_option_of_training_and_no_other():
    from torch_train.config import TrainConfig

    options = {field.name for field in fields(TrainConfig)} - {"data", "out"}
    assert set(typing.get_type_hints(api.Recipe, include_extras=True)) == options


def test_an_option_out_of_range_is_an_error_in_three_parts(tmp_path):
    with pytest.raises(tbconv.TbconvError) as caught:
        tbconv.train(tmp_path, tmp_path / "run", target_sensitivity=1.5)
    assert "1.5" in caught.value.what
    assert caught.value.why
    assert caught.value.fix
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("array", [np.zeros((8, 8)), np.zeros((8, 8, 3), np.uint8), np.zeros(8, np.uint8), [[1, 2]]])
def test_an_array_that_is_no_grey_film_is_refused_with_its_type_and_shape(array):
    with pytest.raises(tbconv.TbconvError) as caught:
        api._as_png(array)
    described = str(list(array.shape)) if isinstance(array, np.ndarray) else "list"
    assert described in caught.value.what


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_goes_the_way_of_a_file_without_loss(dtype):
    import io

    pixels = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (31, 17)).astype(dtype)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(api._as_png(pixels)))).astype(dtype), pixels)


def test_a_folder_that_is_no_bundle_is_an_error_not_a_traceback(tmp_path):
    for call in (tbconv.load, tbconv.verify):
        with pytest.raises(tbconv.TbconvError) as caught:
            call(tmp_path)
        assert str(tmp_path) in caught.value.what
    with pytest.raises(tbconv.TbconvError):
        tbconv.convert(tmp_path, tmp_path / "bundle")
    with pytest.raises(tbconv.TbconvError):
        tbconv.convert_onnx(tmp_path / "model.onnx", tmp_path, tmp_path / "out")
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == "[]"
