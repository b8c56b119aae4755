"""Hold the gate's numbers, its stored weights and where they come from."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tf_serve.gate.rules import LENGTH, SIDE, WEIGHTS, Likeness, describe, invert, thumbnail, turn


@pytest.fixture
def looked_at(draw_film):
    """One film's thumbnail, uint8 [64, 64]."""
    return thumbnail(draw_film())


@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_description_is_that_of_the_turned_picture(looked_at, quarters):
    [expected] = describe(np.rot90(looked_at, quarters)[None])
    [upright] = describe(looked_at[None])
    np.testing.assert_allclose(turn(upright, quarters), expected, rtol=0, atol=1e-4)


def test_an_inverted_description_is_that_of_the_inverted_picture(looked_at):
    [expected] = describe((255 - looked_at)[None])
    [upright] = describe(looked_at[None])
    np.testing.assert_allclose(invert(upright), expected, rtol=0, atol=1e-4)


def test_a_description_hardly_knows_exposure_and_contrast(looked_at):
    [plain] = describe(looked_at[None])
    [pale] = describe((0.6 * looked_at + 90).astype(np.uint8)[None])
    other = describe(looked_at[:, ::-1][None])[0]
    assert np.abs(pale - plain).mean() < 0.1 * np.abs(other - plain).mean()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (5000, 3), (64, 64), (700, 500)])
def test_any_shape_becomes_one_thumbnail(shape):
    assert thumbnail(np.zeros(shape, np.uint8)).shape == (SIDE, SIDE)


@pytest.mark.parametrize("grey", [0, 255])
def test_one_grey_has_a_finite_score(grey):
    numbers = describe(np.full((1, SIDE, SIDE), grey, np.uint8))
    assert numbers.shape == (1, LENGTH)
    assert np.isfinite(Likeness.read().score(numbers)).all()


def test_weights_that_are_not_finite_or_do_not_fit_are_refused_when_read():
    likeness = Likeness.read()
    with pytest.raises(ValueError, match="finite"):
        replace(likeness, threshold=float("nan"))
    with pytest.raises(ValueError, match=r"\(767, 24\)"):
        replace(likeness, hidden=likeness.hidden[1:])


def test_a_pickle_in_place_of_the_weights_is_never_loaded(tmp_path):
    np.savez(tmp_path / "bad.npz", hidden=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Likeness.read(tmp_path / "bad.npz")


def test_the_weights_say_on_what_they_were_fitted():
    provenance = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    assert provenance["threshold"] == Likeness.read().threshold
    assert provenance["files_fitted_on"]["not_xrays"] == 8  # of 27: the others are kept for the figures
    assert provenance["command"].startswith("python -m benchmarks.gate_fit")
