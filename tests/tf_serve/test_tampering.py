"""One thing of a sealed bundle is changed: it is refused, or answered by the same decision and marked."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.tamper import (
    CHANGED,
    MARKED,
    OF_CERTIFICATE,
    OF_MANIFEST,
    REFUSED,
    STANDBY,
    UNSEEN,
    Answer,
    judge,
    record_again,
    rewrite,
    tamperings,
)
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, seal
from tbconv.contract.consistency import check_binding
from tbconv.contract.errors import BundleError, TbconvError
from tf_serve.fallback import choose_checked
from tf_serve.predict import screen
from tf_serve.runtime import pool

FILES = ("manifest.json", "certificate.json", "golden.npz", "baseline.tflite", "model_float32.tflite")
ALL = ("model_int8.tflite", "model_card.md", "saved_model/saved_model.pb", *FILES)
OF_FILES = [f"{how}{name}{end}" for name in ALL for how, end in (("one bit of ", ""), ("", " taken away"))]


@pytest.fixture
def root(make_bundle, add_golden):
    """A bundle with a card and a SavedModel that no server opens."""
    place = add_golden(make_bundle())
    (place / "model_card.md").write_text("# Tiny\n")
    (place / "saved_model").mkdir()
    (place / "saved_model/saved_model.pb").write_bytes(b"graph")
    certificate = json.loads((place / CERTIFICATE).read_text())
    certificate["deploy"] = {"artefact": "model_int8.tflite", "reason": "drawn", "others": {}, "criteria": {}}
    (place / CERTIFICATE).write_text(json.dumps(certificate))
    manifest = read_bundle(place).manifest
    seal(place, manifest)
    return place


def answered(root, film):
    try:
        bundle = read_bundle(root)
        active = choose_checked(bundle)
    except TbconvError:
        return Answer(None)
    result = screen(film, active, bundle.manifest).to_json()
    marked = bool(active.reason or active.altered)
    assert (
        marked == any("these other files of the bundle have changed" in one for one in result["limits"])
        or active.reason
    )
    return Answer(result["decision"], active.version, active.kind, marked)


IN_FILES = "threshold, unbound, schema 1"  # seen by what is written inside the files of `convert`; these hold nothing


@pytest.mark.parametrize("name", sorted({*OF_MANIFEST, *OF_CERTIFICATE, *OF_FILES} - {IN_FILES}))
def test_no_change_of_a_bundle_goes_unseen(root, film, name):
    before = answered(root, film)
    assert (before.decision is not None, before.kind, before.marked) == (True, "trained", False)
    tamperings(root)[name](root)
    found = judge(before, answered(root, film))
    assert found not in (UNSEEN, CHANGED)
    if name in OF_MANIFEST or name in OF_CERTIFICATE:
        assert found == REFUSED
    if name == "one bit of model_int8.tflite":
        assert found == STANDBY
    if name in ("one bit of model_card.md", "saved_model/saved_model.pb taken away"):
        assert found == MARKED


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from leaves(one, (*path, place))
    else:
        yield path, value


def other(value):
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case _:
            return 1.0


def refused(root):
    try:
        check_binding(read_bundle(root))
    except BundleError as error:
        return bool(error.why and error.fix)
    return False


def test_every_single_value_of_the_manifest_is_bound(root, film):
    text = (root / MANIFEST).read_text()
    changed = 0
    for path, value in leaves(json.loads(text)):
        manifest = json.loads(text)
        inner = manifest
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = other(value)
        rewrite(root / MANIFEST, json.dumps(manifest).encode())
        assert refused(root), path
        changed += 1
    assert changed > 80
    rewrite(root / MANIFEST, text.encode())
    assert answered(root, film).kind == "trained"


def test_a_manifest_that_is_written_otherwise_and_says_the_same_is_the_same(root, film):
    before = answered(root, film)
    value = json.loads((root / MANIFEST).read_text())
    rewrite(root / MANIFEST, json.dumps(dict(reversed(value.items())), indent=7).encode())
    assert answered(root, film) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("threshold to 50", "operating_point.json operating_point margin is 0.0, expected 50"),
        ("labels swapped", "labels.txt names ['Normal', 'Tuberculosis'], expected ['Tuberculosis', 'Normal']"),
        ("slope", "its probability at a margin of"),
    ],
)
def test_a_bundle_of_schema_1_is_held_to_what_is_written_in_its_files(
    root, film, as_schema_1, append_metadata, name, words
):
    as_schema_1(append_metadata(root))
    before = answered(root, film)
    assert (before.decision is not None, before.kind) == (True, "trained")
    tamperings(root)[name](root)
    with pytest.raises(BundleError, match=r"model_int8\.tflite contradicts manifest\.json") as refused:
        choose_checked(read_bundle(root))
    assert words in refused.value.why


def test_without_anything_written_in_its_files_a_slope_is_seen_by_the_golden_outputs(root, film, as_schema_1):
    as_schema_1(root)
    assert answered(root, film).decision is not None
    tamperings(root)["slope"](root)
    assert answered(root, film).decision is None


def test_the_bytes_whose_contents_are_judged_are_those_that_are_mapped(root, append_metadata, monkeypatch):
    clean, copy = pool.copy_privately, []

    def overwritten(bundle, name, folder):
        """Copy the file, and put another into its place before it is judged."""
        copy.append(clean(bundle, name, folder))
        (bundle.root / name).write_bytes(other.read_bytes())
        return copy[-1]

    monkeypatch.setattr(pool, "copy_privately", overwritten)
    append_metadata(root, lambda files: files | {"labels.txt": "Normal\nSilicosis\n"})
    other = root.parent / "other.tflite"
    other.write_bytes(b"anything")
    with pytest.raises(BundleError, match="contradicts") as refused:
        choose_checked(read_bundle(root))
    assert "Silicosis" in refused.value.why


def test_another_band_is_another_version(root, film):
    before = answered(root, film)
    certificate = json.loads((root / CERTIFICATE).read_text())
    certificate["artefacts"]["model_int8.tflite"]["figures"]["abstention_band"] = {"half_width": 1000.0}
    rewrite(root / CERTIFICATE, json.dumps(certificate).encode())
    record_again(root, CERTIFICATE)
    after = answered(root, film)
    assert after.version != before.version


@pytest.mark.parametrize("name", ["threshold to 50", "synthetic", "one bit of model_card.md", "one bit of golden.npz"])
def test_a_running_server_goes_on_and_says_what_changed(root, film, serve, ask, name):
    with serve(root) as client:
        before = until(client, film, ask, lambda model: model["altered"] == [])
        tamperings(root)[name](root)
        after = until(client, film, ask, lambda model: model["altered"])
        assert (after["decision"], after["model"]["version"]) == (before["decision"], before["model"]["version"])
        assert after["model"]["altered"] == [f"{'manifest.json' if ' of ' not in name else name.split()[-1]} changed"]
        assert any("these other files of the bundle have changed" in one for one in after["limits"])


def until(client, film, ask, wanted):
    import time

    end = time.monotonic() + 30
    while True:
        row = ask(client, film).json()
        if wanted(row["model"]) or time.monotonic() > end:
            return row
        time.sleep(0.1)
