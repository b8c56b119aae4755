import numpy as np
import pytest

from convert.parity.inputs import PHANTOMS, golden_inputs
from tbconv.contract.errors import ArtefactError
from tbconv.contract.golden import Golden, read_golden, write_golden
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import Prediction

SPEC = PreprocessSpec()
FIGURES = {"black", "white", "checkerboard", "ramp_x", "ramp_y", "corner", "figure", "noise"}
EIGHT = {
    "transpose": lambda film: film.T,
    "flip": lambda film: film[:, ::-1],
    "upside down": lambda film: film[::-1],
    "half turn": lambda film: film[::-1, ::-1],
    "quarter turn": np.rot90,
}


@pytest.fixture(scope="module")
def golden():
    return golden_inputs(SPEC)


def test_names_and_films_belong_together(golden):
    names, films = golden
    assert (films.dtype, films.shape) == (np.uint8, (len(names), 224, 224))
    assert len(set(names)) == len(names) == len(np.unique(films.reshape(len(films), -1), axis=0))


@pytest.mark.parametrize("move", EIGHT)
def test_figures_and_phantoms_see_every_way_to_lay_a_film_wrong(golden, move):
    films = dict(zip(*golden, strict=True))
    for name in ("figure", "noise", *(name for name in films if name.startswith("phantom"))):
        assert np.abs(EIGHT[move](films[name]).astype(int) - films[name]).max() > 50, name


def test_a_ramp_runs_across_and_another_downwards(golden):
    films = dict(zip(*golden, strict=True))
    across, down = films["ramp_x"].astype(int), films["ramp_y"].astype(int)
    assert np.diff(across, axis=1).min() >= 0
    assert not np.diff(across, axis=0).any()
    assert np.array_equal(across.T, down)
    assert (across[0, 0], across[0, -1]) == (0, 255)


def test_both_ends_of_the_grey_scale_and_both_classes_are_there(golden):
    names, films = golden
    assert {"black", "white"} <= set(names)
    assert (films.min(), films.max()) == (0, 255)
    assert sum(name.startswith("phantom_positive") for name in names) == PHANTOMS // 2
    assert sum(name.startswith("phantom_negative") for name in names) == PHANTOMS // 2


def test_no_patient_is_among_them_since_all_are_drawn_from_seeds(golden):
    names, films = golden
    again_names, again = golden_inputs(SPEC)
    assert names == again_names
    assert np.array_equal(films, again)
    assert {name for name in names if not name.startswith("phantom_")} == FIGURES


def test_golden_inputs_and_answers_come_back_from_disk(tmp_path, golden):
    names, films = golden
    generator = np.random.default_rng(0)
    n = len(names)
    logits, probability, maps = (generator.normal(size=(n, *rest)) for rest in ((2,), (1,), (7, 7)))
    answers = {
        "PyTorch float64 (trained)": Prediction(logits, probability, maps),
        "model.h5": Prediction(logits.astype(np.float32), probability.astype(np.float32), None),
    }
    write_golden(tmp_path / "golden.npz", Golden(tuple(names), films, answers))
    back = read_golden(tmp_path / "golden.npz")
    assert back.names == tuple(names)
    assert np.array_equal(back.model_inputs, films)
    assert back.answers.keys() == answers.keys()
    assert back.answers["model.h5"].evidence is None
    assert np.array_equal(back.answers["PyTorch float64 (trained)"].evidence, maps)
    assert back.answers["model.h5"].logits.dtype == np.float32


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not whole", b"no zip at all"])
def test_a_damaged_golden_file_is_an_artefact_error(tmp_path, data):
    (tmp_path / "golden.npz").write_bytes(data)
    with pytest.raises(ArtefactError, match=r"golden\.npz holds no golden inputs"):
        read_golden(tmp_path / "golden.npz")


def test_golden_files_hold_no_pickles(tmp_path):
    np.savez(tmp_path / "golden.npz", names=np.array([None], dtype=object), model_inputs=np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(ArtefactError, match="holds no golden inputs"):
        read_golden(tmp_path / "golden.npz")
