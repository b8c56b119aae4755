"""The certificate as a page, over drawn answers: what it must say, and what it must survive."""

import re
from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest

from convert.certificate.page import certificate_page, reliability, sizes_of
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral
from tbconv.contract.golden import Golden
from tbconv.contract.manifest import (
    Artefact,
    Calibration,
    DecisionRule,
    Labels,
    Manifest,
    OperatingPoint,
    image_spec,
    output_specs,
)
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import Prediction

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis

FILES = {
    "model_float32.tflite": ("float32", "trained", Verdict.CERTIFIED),
    "model_int8.tflite": ("int8", "trained", Verdict.BOUNDED),
    "baseline.tflite": ("float32", "baseline", Verdict.CERTIFIED),
}
FILMS = 40
NAMES = ("corner", "phantom_positive_1")


def answers_of(margins, noise=0.0, seed=0):
    moved = np.asarray(margins) + noise * np.random.default_rng(seed).standard_normal(len(margins))
    logits = np.stack([-moved / 2, moved / 2], axis=1).astype(np.float32)
    evidence = np.broadcast_to(moved[:, None, None], (len(margins), 7, 7)).astype(np.float32)
    return Prediction(logits, 1 / (1 + np.exp(-moved[:, None])), evidence)


def runtimes(margins):
    noise = {"model_float32.tflite": 1e-6, "model_int8.tflite": 0.3, "baseline.tflite": 1e-6}
    found = {f"PyTorch float32 ({network})": answers_of(margins) for network in ("trained", "baseline")}
    return found | {name: answers_of(margins, size) for name, size in noise.items()}


def figures(flips=0, samples=FILMS, **more):
    auroc = {"value": 0.9, "low": 0.8, "high": 0.95, "n": samples, "method": "drawn"}
    rest = {"max_abs_logits": 1e-6, "max_abs_margin": 0.5, "sqnr_db": 40.0, "problem": None, "auroc": auroc}
    return {"flips": flips, "samples": samples, **rest, **more}


@pytest.fixture
def page_of():
    """Return a function that draws the page of a drawn bundle, with anything replaced."""
    point, image = OperatingPoint(0.2, 0.9, 0.9, 0.9, 20, 20, "0" * 64), (image_spec(channels_first=False),)
    manifest = Manifest(
        "drawn <bundle>",
        "trained",
        Labels("Normal", "Tuberculosis"),
        PreprocessSpec(),
        {network: DecisionRule(Calibration(1, 0, 20, 20), point) for network in ("trained", "baseline")},
        tuple(Artefact(p, "tflite", kind, net, image, output_specs(), "t", "r") for p, (kind, net, _) in FILES.items()),
        {},
        synthetic=False,
    )
    rows = {path: ArtefactVerdict(verdict, "a" * 64, "as drawn", figures()) for path, (*_, verdict) in FILES.items()}
    inputs = {"films": FILMS, "description": "40 films", "labelled": True}
    tolerances = {"trained": {"logits": 1e-5, "noise": 1e-6, "logits_origin": "10 x noise"}}
    margins = np.linspace(-4, 4, FILMS)
    labels = (margins > 0).astype(np.int64)
    model_inputs = np.random.default_rng(0).integers(0, 256, (2, 224, 224)).astype(np.uint8)
    golden = Golden(NAMES, model_inputs, runtimes([1.0, -1.0]))

    def draw(*, answers=None, labels=labels, report=None, sizes=None, of=manifest, **certified):
        certificate = replace(Certificate(rows, inputs, tolerances, {}, DISCLAIMER), **certified)
        fed = runtimes(margins) if answers is None else answers
        return certificate_page(of, certificate, report or {}, golden, fed, labels, sizes=sizes)

    draw.manifest, draw.rows, draw.margins = manifest, rows, margins
    return draw


@pytest.fixture
def text_page_of(page_of, monkeypatch):
    """Return a function that returns the page's text; its figures, which take most of the time, are not drawn."""
    monkeypatch.setattr("tbconv.report_kit.charts.figure_to_svg", lambda *_, **__: "")
    return lambda **changes: text_of(page_of(**changes))


def text_of(page):
    return unescape(" ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split()))


def test_the_page_fetches_nothing_runs_nothing_and_its_drawings_are_whole(page_of):
    page = page_of(sizes={"model_int8.tflite": 26_000_000})
    assert not re.search(r"<script|<link|@import|url\((?!#)|https?://| on\w+=", page)
    assert "default-src 'none'" in page
    assert {uri.split(",")[0] for uri in re.findall(r'src="([^"]+)"', page)} == {"data:image/jpeg;base64"}
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 5  # distances, margins of one file, reliability before and after, sizes
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "nan" not in drawing


def test_the_first_screen_says_verdicts_flips_bound_intervals_and_the_disclaimer(text_page_of):
    first = text_page_of().split("Distance from PyTorch")[0]
    assert DISCLAIMER in first
    assert "Certificate of drawn <bundle>" in first
    assert "0 of 40 (≤ 7.2 %)" in first  # 1 - 0.05^(1/40)
    assert "0.90 (0.80 to 0.95)" in first
    assert "n = 40 films, 20 Tuberculosis and 20 others" in first
    assert first.count("✓ CERTIFIED") == 2
    assert first.count("≈ BOUNDED") == 1


def test_the_page_names_the_file_to_deploy_and_why_the_others_lost(text_page_of):
    deploy = {"artefact": "model_int8.tflite", "reason": "fastest", "others": {"model_float32.tflite": "slow & big"}}
    page = text_page_of(deploy=deploy)
    assert "Deploy model_int8.tflite . fastest" in page
    assert "not deployed: slow & big" in page
    assert "Deploy" not in text_page_of()


def test_a_file_that_answers_nan_is_said_to_have_failed_and_is_not_drawn(page_of):
    broken = answers_of(page_of.margins)
    broken.logits[3] = np.nan
    bad = figures(problem="logits holds 2 values that are NaN or infinite", max_abs_logits=None, max_abs_margin=None)
    rows = page_of.rows | {"model_int8.tflite": ArtefactVerdict(Verdict.FAILED, "b" * 64, bad["problem"], bad)}
    page = page_of(answers=runtimes(page_of.margins) | {"model_int8.tflite": broken}, artefacts=rows)
    assert "✕ FAILED" in page
    assert "logits holds 2 values that are NaN or infinite" in text_of(page)
    assert page.count("nothing to draw") == 2
    assert "nan" not in "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))


def test_without_films_the_page_says_so_and_shows_the_drawn_inputs(text_page_of):
    inputs = {"films": 0, "description": "the bundle's 2 golden inputs", "labelled": False}
    page = text_page_of(answers={}, labels=None, inputs=inputs)
    assert "n = 2 drawn inputs, no film" in page
    assert "No film was run" in page
    assert "phantom positive 1 (synthetic, drawn)" in page
    assert "corner (drawn probe)" in page
    assert "Reliability" not in page


def test_a_bundle_of_the_baseline_alone_has_a_page(page_of, text_page_of):
    only = {"baseline.tflite": page_of.rows["baseline.tflite"]}
    manifest = replace(page_of.manifest, kind="baseline", artefacts=page_of.manifest.artefacts[2:], synthetic=True)
    page = text_page_of(of=manifest, artefacts=only)
    assert "1 CERTIFIED" in page
    assert "Trained on drawn phantoms" in page
    assert "int8" not in page


def test_decisions_that_change_are_ringed_and_counted(page_of):
    moved = page_of.margins.copy()
    moved[[19, 20, 21]] = [0.5, -0.1, 0.9]  # the threshold is 0.2: one comes in, the second was below it already
    page = page_of(answers=runtimes(page_of.margins) | {"model_int8.tflite": answers_of(moved)})
    rings = re.search(r'<g id="[^"]*changed">(.*?)</g>\s*</g>', page, flags=re.DOTALL)
    assert rings[1].count("<use") == 1
    assert "1 of 40 decisions changed" in text_of(page)


def test_bounded_is_a_measured_share_and_makes_no_claim_about_the_deployment_criteria(text_page_of):
    lost = {"model_int8.tflite": "0.44 x the latency of float32, allowed 0.40"}
    page = text_page_of(deploy={"artefact": "model_float32.tflite", "reason": "fastest", "others": lost})
    assert "at most 1 % of the measured decisions changed" in page
    assert "not deployed: 0.44 x the latency of float32, allowed 0.40" in page
    assert "against float64" not in page  # nothing was measured against it


def test_the_shaded_band_is_the_one_inside_which_the_server_decides_nothing(page_of, text_page_of):
    assert "abstention band ±0.5 logits" in text_page_of()  # not measured: the largest movement of a margin
    rows = dict(page_of.rows)
    narrow = rows["model_int8.tflite"].figures | {"abstention_band": {"half_width": 0.25}}
    rows["model_int8.tflite"] = replace(rows["model_int8.tflite"], figures=narrow)
    assert "band ±0.25 logits" in text_page_of(artefacts=rows)


def test_losses_and_the_distance_from_float64_are_written_with_as_many_digits_as_films_carry(text_page_of):
    loss = {"value": 0.0125, "low": -0.0012, "high": 0.0312, "upper95": 0.028, "lost": 1, "gained": 0, "at_most": 0.2}
    decisions = dict.fromkeys(("auroc_loss", "sensitivity_loss", "specificity_loss"), loss)
    row = {"name": "model_int8.tflite", "decisions": decisions | {"n": 40, "positives": 20, "negatives": 20}}
    page = text_page_of(report={"rows": [row | {"float64_distance": {"db": 3.21}}]})
    assert "1 (0 to 3) 1 lost, 0 gained" in page
    assert "+3 dB" in page
    assert "n = 40: 20 positive, 20 negative" in page


def test_what_the_certificate_holds_for_is_on_the_page(text_page_of):
    scope = {
        "weights": {"weights.safetensors": "c" * 64},
        "calibration": {"films": 128, "sha256": "d" * 64, "list_sha256": "e" * 64},
        "packages": {"numpy": "2.2.6"},
        "processor": {"model": "Drawn 9000", "kernel_flags": ["avx2"], "flags_sha256": "f" * 64},
        "kernels": {"delegate": "XNNPACK", "threads": 1},
        "metrics": {"trained": {"auroc": {"value": 0.91234, "low": 0.8, "high": 0.97, "n": 90, "method": "drawn"}}},
    }
    page = text_page_of(scope=scope)
    for words in ("cccccccccccccccc…", "128 of the training part", "numpy 2.2.6", "Drawn 9000", "avx2", "XNNPACK"):
        assert words in page
    assert "0.91 (0.80 to 0.97), n = 90" in page


def test_reliability_counts_every_film_once_and_its_interval_is_exact():
    probability = np.array([0.0, 0.05, 0.93, 0.97, 1.0])
    first, last = (one["observed"] for one in reliability(probability, np.array([0, 0, 1, 1, 0])))
    assert (first["n"], last["n"]) == (2, 3)
    assert last["value"] == pytest.approx(2 / 3)
    assert (first["low"], round(first["high"], 3)) == (0.0, 0.842)  # Clopper-Pearson of 0 of 2


def test_the_page_is_the_same_for_the_same_bundle(page_of):
    assert page_of(sizes={"model_int8.tflite": 26_000_000}) == page_of(sizes={"model_int8.tflite": 26_000_000})


def test_the_size_of_a_folder_is_that_of_its_files_together(page_of, tmp_path):
    (tmp_path / "model_int8.tflite").write_bytes(b"12345")
    (tmp_path / "model_float32.tflite/inner").mkdir(parents=True)
    (tmp_path / "model_float32.tflite/inner/one").write_bytes(b"123")
    (tmp_path / "model_float32.tflite/two").write_bytes(b"12")
    sizes = sizes_of(tmp_path, page_of.manifest.artefacts)
    assert sizes == {"model_float32.tflite": 5, "model_int8.tflite": 5, "baseline.tflite": 0}


def test_names_from_outside_are_escaped_wherever_they_stand(page_of):
    hostile = """<script>alert("1")</script>'&$x^{$"""
    manifest = replace(page_of.manifest, name=hostile, labels=Labels("Normal", hostile))
    deploy = {"artefact": "model_int8.tflite", "reason": hostile, "others": {"baseline.tflite": hostile}}
    scope = {"processor": {"model": hostile}, "packages": {hostile: "1"}}
    page = page_of(of=manifest, deploy=deploy, scope=scope, inputs={"films": FILMS, "description": hostile})
    assert "<script" not in page
    assert unescape(page).count(hostile) >= 9
