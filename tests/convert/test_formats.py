"""A new export format is its module and a row of the table: made, listed, run and judged without another edit."""

from pathlib import Path

import numpy as np
import pytest

from convert.formats.table import FORMATS, Format, Step
from convert.from_run import list_artefacts
from convert.parity.inputs import FilmSet
from convert.parity.measure import measure
from convert.parity.report import parity_report
from convert.pipeline import ConversionContext, make_from_onnx
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import Silence
from tbconv.contract.manifest import Calibration, DecisionRule, Labels, OperatingPoint
from torch_train.run_folder import RunFacts

MADE_UP = Format(
    path="model.made_up",
    kind="made_up",
    reader="made up 1.0",
    step=Step("made up", "made.up:make", "model.onnx", "onnx"),
    runner="made.up:run",
    evidence=False,
)
POINT = OperatingPoint(0.0, 0.9, 0.9, 0.5, 10, 10, "5" * 64)
FACTS = RunFacts(
    "drawn",
    "resnet10",
    Labels("Normal", "Tuberculosis"),
    {"trained": DecisionRule(Calibration(1.0, 0.0, 10, 10), POINT)},
    True,
    {},
)


@pytest.fixture
def steps(monkeypatch):
    """Add the format for one test; every step is noted, and every runner gives the margins of mean grey levels."""
    noted = []

    def run_step(function, request, *, threads=None, say=None):
        noted.append((function, request))
        if "images" in request:
            margin = np.load(request["images"]).mean((1, 2)) / 40 - 3
            logits = np.stack([-margin / 2, margin / 2], axis=1)
            np.savez(request["out"], logits=logits, probability=1 / (1 + np.exp(-margin[:, None])))
        return {"converter": "drawn"}

    monkeypatch.setattr("convert.pipeline.run_step", run_step)
    monkeypatch.setattr("convert.parity.runtimes.run_step", run_step)
    FORMATS.append(MADE_UP)
    yield noted
    FORMATS.remove(MADE_UP)


def test_a_new_format_is_made_of_what_its_row_names(steps):
    make_from_onnx(ConversionContext(Path("folder"), Path("aside"), Silence()))
    assert steps[-1] == ("made.up:make", {"onnx": "folder/model.onnx", "out": "folder/model.made_up"})


def test_a_new_format_is_listed_with_who_made_and_who_reads_it(steps):
    made = dict.fromkeys([*(one.step.name for one in FORMATS), "baseline"], "drawn")
    found = {one.path: one for one in list_artefacts(FACTS, made | {"made up": "made up 1.0"}, route="own")}
    artefact = found["model.made_up"]
    assert (artefact.format, artefact.converter, artefact.reader) == ("made_up", "made up 1.0", "made up 1.0")
    assert [one.name for one in artefact.outputs] == ["logits", "probability"]
    assert set(found) == {one.path for one in FORMATS} | {"baseline.tflite"}


def test_a_new_format_is_run_and_judged_as_the_others_are(steps):
    made = dict.fromkeys([*(one.step.name for one in FORMATS), "baseline"], "drawn")
    artefacts = [one for one in list_artefacts(FACTS, made, route="own") if one.path == "model.made_up"]
    films = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    filmset = FilmSet("drawn", films[:8], None, films[8:], tuple("abcd"), films[:0])
    rules = FACTS.decision_rules
    found = measure(Path("b"), artefacts, filmset, arch="resnet10", decision_rules=rules, extra=(), reporter=Silence())
    assert ("made.up:run", "b/model.made_up") in [(name, request.get("artefact")) for name, request in steps]
    verdicts = {one.path: found.judge(one, "0" * 64) for one in artefacts}
    assert verdicts["model.made_up"].verdict is Verdict.CERTIFIED
    assert parity_report(found, verdicts)["rows"][0]["name"] == "model.made_up"
