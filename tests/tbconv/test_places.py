"""What is given in the place of another is named, with the command that takes it."""

import pytest

from tbconv.contract.errors import DataError
from tbconv.contract.files import advice_on, refuse_as_films


@pytest.fixture
def world(tmp_path):
    """One of each that a path may be."""
    for name, mark in (
        ("bundle", "manifest.json"),
        ("run", "run.json"),
        ("begun", "checkpoint.pt"),
        ("formats", "conversion.json"),
        ("films/Normal", "a.png"),
        ("films/Tuberculosis", "b.png"),
        ("run", "curves.png"),
        ("bundle/saved_model", "saved_model.pb"),
    ):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / mark).write_bytes(b"drawn")
    for name in ("best.pth", "model.onnx", "model.tflite", "film.DCM", "set.zip", "notes.txt"):
        (tmp_path / name).write_bytes(b"drawn")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_bytes(b"drawn")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "fix"),
    [
        ("bundle", "bundle", "tbconv verify {}"),
        ("run", "run", "tbconv convert {} --out BUNDLE"),
        ("begun", "begun", "tbconv train --data DIR --out {} --resume"),
        ("formats", "conversion", "read {}/report.md"),
        ("films", "films", "tbconv train --data {} --out RUN"),
        ("empty", "empty", "tbconv convert RUN --out BUNDLE"),
        ("bundle/manifest.json", "part", "name the bundle: "),
        ("bundle/saved_model/saved_model.pb", "part", "name the bundle: "),
        ("run/curves.png", "part", "name the run: "),
        ("best.pth", "checkpoint", "tbconv adopt {} --arch ARCH"),
        ("model.onnx", "onnx", "tbconv convert {} --calibration DIR"),
        ("model.tflite", "converted", "tbconv prove --onnx MODEL.onnx --file {}"),
        ("film.DCM", "film", "tbconv predict BUNDLE {}"),
        ("set.zip", "film", "tbconv predict BUNDLE {}"),
    ],
)
def test_a_path_is_named_with_the_command_that_takes_it(world, name, kind, fix):
    found = advice_on(world / name)
    assert (found.kind, fix.format(world / name) in found.fix) == (kind, True), found


@pytest.mark.parametrize("name", ["nowhere", "other", "notes.txt", "x" * 5000])
def test_of_what_is_unknown_nothing_is_said(world, name):
    assert advice_on(world / name) is None


@pytest.mark.parametrize("name", ["bundle", "run", "begun", "formats", "model.onnx", "best.pth", "run/curves.png"])
def test_what_is_no_film_is_refused_where_films_are_wanted(world, name):
    with pytest.raises(DataError) as found:
        refuse_as_films(world / name)
    assert str(world / name) in found.value.what


@pytest.mark.parametrize("name", ["films", "film.DCM", "set.zip", "empty", "other", "nowhere"])
def test_films_and_what_may_hold_some_are_not_refused(world, name):
    refuse_as_films(world / name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("convert", "bundle", "--out", "new"), "use it as one: tbconv verify"),
        (("convert", "films", "--out", "new"), "it is a folder of films"),
        (("convert", "film.DCM", "--out", "new"), "tbconv predict BUNDLE"),
        (("convert", "best.pth", "--out", "new"), "tbconv adopt"),
        (("show", "run"), "make a bundle of it: tbconv convert"),
        (("verify", "run"), "make a bundle of it: tbconv convert"),
        (("verify", "film.DCM", "--quick"), "tbconv predict BUNDLE"),
        (("prove", "run"), "make a bundle of it: tbconv convert"),
        (("predict", "film.DCM", "bundle"), "tbconv predict BUNDLE"),
        (("predict", "run", "film.DCM"), "make a bundle of it: tbconv convert"),
        (("upgrade", "run", "--out", "new"), "make a bundle of it: tbconv convert"),
        (("data", "check", "run", "--json"), "make a bundle of it: tbconv convert"),
        (("data", "check", "best.pth", "--json"), "tbconv adopt"),
        (("audit", "--robustness", "film.DCM", "--out", "new"), "tbconv predict BUNDLE"),
        (("audit", "--run", "bundle", "--data", "films", "--out", "new"), "tbconv verify"),
        (
            ("adopt", "run", "--arch", "resnet18", "--data", "films", "--out", "new"),
            "make a bundle of it: tbconv convert",
        ),
    ],
)
def test_every_command_says_what_it_was_given_instead(tbconv, world, monkeypatch, words, said):
    monkeypatch.chdir(world)
    done = tbconv(*words)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    assert not (world / "new").exists()
