"""Prove that messages of the Open Inference Protocol become the tensors that they hold, or one sentence."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tbconv.contract.manifest import image_spec
from tf_serve.errors import BadRequest, ServingError, TooLarge
from tf_serve.messages import MAX_VALUES, read_json
from tf_serve.server.protocols import json_length_of, read_infer
from tf_serve.server.tensors import MAX_FILMS

SPEC = image_spec(channels_first=False, size=4)
BYTE_SPEC = image_spec(channels_first=False, size=4, dtype="uint8")
OUTPUTS = ("logits", "probability", "evidence")
LEVELS = np.arange(32, dtype=np.float32).reshape(2, 4, 4, 1) * 8
ALL = dict.fromkeys(OUTPUTS, False)


def tensor(**more):
    return {"name": "image", "shape": [2, 4, 4, 1], "datatype": "FP32", "data": LEVELS.ravel().tolist()} | more


def read(message, binary=b"", spec=SPEC):
    head = json.dumps(message).encode()
    return read_infer(head + binary, len(head) if binary else None, spec, OUTPUTS)


def binary_tensor(data, datatype="FP32", shape=(2, 4, 4, 1)):
    described = {"name": "image", "shape": list(shape), "datatype": datatype}
    return {"inputs": [described | {"parameters": {"binary_data_size": len(data)}}]}


def elements(*parts):
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


@pytest.mark.parametrize("data", [LEVELS.ravel().tolist(), LEVELS.tolist(), LEVELS.astype(int).tolist()])
def test_flat_and_nested_numbers_are_the_same_tensor(data):
    asked = read({"inputs": [tensor(data=data)]})
    assert asked.batch.dtype == np.float32
    np.testing.assert_array_equal(asked.batch, LEVELS)
    assert (asked.id, asked.binary) == (None, ALL)


@pytest.mark.parametrize(("datatype", "dtype"), [("FP32", "<f4"), ("UINT8", "u1")])
def test_binary_tensors_are_the_numbers_that_json_has(datatype, dtype):
    data = LEVELS.astype(dtype).tobytes()
    asked = read(binary_tensor(data, datatype), data)
    assert asked.batch.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(asked.batch, LEVELS)
    np.testing.assert_array_equal(read({"inputs": [tensor(datatype=datatype)]}).batch, asked.batch)


def test_a_body_without_json_is_one_film_in_the_datatype_of_the_metadata():
    for spec, dtype in ((SPEC, "<f4"), (BYTE_SPEC, "u1")):
        asked = read_infer(LEVELS[0].astype(dtype).tobytes(), 0, spec, OUTPUTS)
        np.testing.assert_array_equal(asked.batch, LEVELS[:1])
        assert asked.binary == dict.fromkeys(OUTPUTS, True)


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_films_come_as_base64_in_json_and_as_files_or_base64_in_bytes(shape):
    files = (b"\x89PNG one", b"\xff\xd8 two")
    texts = [base64.b64encode(file).decode() for file in files]
    words = {"datatype": "BYTES", "shape": shape}
    assert read({"inputs": [tensor(**words, data=texts)]}).batch == files
    if len(shape) == 2:
        assert read({"inputs": [tensor(**words, data=[[text] for text in texts])]}).batch == files
    for parts in (files, [text.encode() for text in texts]):
        data = elements(*parts)
        assert read(binary_tensor(data, "BYTES", shape), data).batch == files


def test_the_id_and_the_outputs_that_are_wanted_are_kept_with_their_form():
    outputs = [{"name": "evidence"}, {"name": "logits", "parameters": {"binary_data": False}}]
    message = {"id": "é-1", "parameters": {"binary_data_output": True}, "inputs": [tensor()], "outputs": outputs}
    asked = read(message)
    assert (asked.id, list(asked.binary.items())) == ("é-1", [("evidence", True), ("logits", False)])
    assert read(message | {"outputs": []}).binary == dict.fromkeys(OUTPUTS, True)


ONE = LEVELS.astype("<f4").tobytes()
WRONG = {
    "no inputs": ({}, b"", "inputs is not valid"),
    "two inputs": ({"inputs": [tensor(), tensor()]}, b"", "inputs is not valid"),
    "another name": ({"inputs": [tensor(name="film")]}, b"", "inputs.0.name is not valid"),
    "another datatype": ({"inputs": [tensor(datatype="INT8")]}, b"", "inputs.0.datatype is not valid"),
    "no shape": ({"inputs": [tensor(shape=None)]}, b"", "inputs.0.shape is not valid"),
    "an empty shape": ({"inputs": [tensor(shape=[], data=LEVELS.tolist())]}, b"", "shape [] is none"),
    "a shape of fractions": ({"inputs": [tensor(shape=[2, 4.0, 4, 1])]}, b"", "inputs.0.shape.1 is not valid"),
    "a negative side": ({"inputs": [tensor(shape=[-1, 4, 4, 1])]}, b"", "inputs.0.shape.0 is not valid"),
    "no film": ({"inputs": [tensor(shape=[0, 4, 4, 1], data=[])]}, b"", "data is empty"),
    "colours": ({"inputs": [tensor(shape=[2, 4, 4, 3])]}, b"", "[2, 4, 4, 3]"),
    "fewer values": ({"inputs": [tensor(data=[1.0])]}, b"", "1 values"),
    "ragged": ({"inputs": [tensor(data=[[1.0], [1.0, 2.0]])]}, b"", "different lengths"),
    "too deep": ({"inputs": [tensor(data=[[[[[[[[[1.0]]]]]]]]])]}, b"", "too deep"),
    "a text": ({"inputs": [tensor(data=["1"] * 32)]}, b"", "it holds strings"),
    "nulls": ({"inputs": [tensor(data=[None] * 32)]}, b"", "it holds nulls"),
    "booleans": ({"inputs": [tensor(data=[True] * 32)]}, b"", "it holds booleans"),
    "negative": ({"inputs": [tensor(data=[-1.0] * 32)]}, b"", "run from -1 to -1"),
    "too bright": ({"inputs": [tensor(data=[256] * 32)]}, b"", "256"),
    "beyond float": ({"inputs": [tensor(data=[10**300] * 32)]}, b"", "inf"),
    "beyond any float": ({"inputs": [tensor(data=[10**400] * 32)]}, b"", "no float"),
    "a fraction in UINT8": (
        {"inputs": [tensor(datatype="UINT8", data=(LEVELS.ravel() / 2 + 0.25).tolist())]},
        b"",
        "fraction",
    ),
    "no base64": ({"inputs": [tensor(datatype="BYTES", shape=[1], data=["%"])]}, b"", "film 0 is no base64"),
    "letters": ({"inputs": [tensor(datatype="BYTES", shape=[1], data=["é"])]}, b"", "film 0 is no base64"),
    "films miscounted": ({"inputs": [tensor(datatype="BYTES", shape=[2], data=["AAAA"])]}, b"", "1 films"),
    "an id that is none": ({"id": 7, "inputs": [tensor()]}, b"", "id is not valid"),
    "an endless id": ({"id": "x" * 1025, "inputs": [tensor()]}, b"", "id is not valid"),
    "another output": ({"inputs": [tensor()], "outputs": [{"name": "mask"}]}, b"", "outputs.0.name is not valid"),
    "an output twice": ({"inputs": [tensor()], "outputs": [{"name": "logits"}] * 2}, b"", "twice"),
    "classification": (
        {"inputs": [tensor()], "outputs": [{"name": "logits", "parameters": {"classification": 1}}]},
        b"",
        "classification is not an extension",
    ),
    "a flag that is none": (
        {"inputs": [tensor()], "parameters": {"binary_data_output": 1}},
        b"",
        "parameters.binary_data_output is not valid",
    ),
    "bytes that nobody claims": ({"inputs": [tensor()]}, b"1234", "no input has a binary_data_size"),
    "bytes and data": (
        {"inputs": [tensor(parameters={"binary_data_size": 4})]},
        b"1234",
        "data and binary_data_size",
    ),
    "fewer bytes than said": (binary_tensor(ONE), ONE[:-4], "does not fit the body"),
    "more bytes than the shape": (binary_tensor(ONE + b"1234"), ONE + b"1234", "132 came"),
    "NaN bytes": (binary_tensor(b"\xff" * 128), b"\xff" * 128, "nan"),
    "a torn length": (binary_tensor(b"\1\0", "BYTES", [1]), b"\1\0", "no whole length"),
    "a torn element": (binary_tensor(b"\xff\xff\xff\xffx", "BYTES", [1]), b"\xff\xff\xff\xffx", "does not fit into"),
    "shared memory": (
        {"inputs": [tensor(parameters={"shared_memory_region": "x"})]},
        b"",
        "shared_memory_region is not an extension",
    ),
}


@pytest.mark.parametrize(("message", "binary", "words"), WRONG.values(), ids=WRONG)
def test_what_does_not_follow_the_protocol_is_told_which_part(message, binary, words):
    with pytest.raises(BadRequest) as caught:
        read(message, binary)
    assert words in caught.value.one_line


def test_fractions_are_refused_where_the_file_takes_whole_grey_levels():
    message = {"inputs": [tensor(data=(LEVELS.ravel() / 2 + 0.25).tolist())]}
    assert read(message).batch.max() == 124.25
    with pytest.raises(BadRequest, match="no grey levels"):
        read(message, spec=BYTE_SPEC)


def test_what_is_no_json_object_is_refused_at_any_depth():
    for body in (b"", b"[]", b"{", b'{"id": NaN}', b'{"id": Infinity}', b"\xff\xfe", b'{"a":' * 10**5, b"[" * 10**5):
        with pytest.raises(BadRequest):
            read_json(body)


def test_json_of_more_values_than_memory_is_meant_for_is_refused_unparsed():
    with pytest.raises(TooLarge, match="too many values"):
        read_json(b'{"inputs": [' + b"[]," * MAX_VALUES + b"[]]}")


def test_more_films_than_one_request_may_have_are_refused():
    films = ["AAAA"] * (MAX_FILMS + 1)
    with pytest.raises(TooLarge, match=str(MAX_FILMS + 1)):
        read({"inputs": [tensor(datatype="BYTES", shape=[len(films)], data=films)]})
    with pytest.raises(TooLarge, match=str(MAX_FILMS + 1)):
        read(binary_tensor(b"", "UINT8", [MAX_FILMS + 1, 4, 4, 1]), b"")


@pytest.mark.parametrize("header", ["", "-1", "1.0", "٣", "9" * 12, "0x10"])
def test_a_length_that_is_no_number_is_refused(header):
    with pytest.raises(BadRequest, match="not a number"):
        json_length_of(header)
    assert json_length_of("17") == 17


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
FIELDS = some.fixed_dictionaries(
    {},
    optional={
        "name": some.just("image") | JSON,
        "shape": some.lists(some.integers(-2, 5), max_size=5) | JSON,
        "datatype": some.sampled_from(["FP32", "UINT8", "BYTES", "INT8"]) | JSON,
        "parameters": some.fixed_dictionaries({}, optional={"binary_data_size": some.integers(-1, 40) | JSON}) | JSON,
        "data": some.lists(some.integers(-1, 260), max_size=20) | JSON,
    },
)
MESSAGES = some.fixed_dictionaries(
    {"inputs": some.lists(FIELDS, min_size=1, max_size=2) | JSON},
    optional={"id": JSON, "outputs": JSON, "parameters": JSON},
)


@settings(max_examples=300, deadline=None)
@given(message=MESSAGES, tail=some.binary(max_size=40), length=some.none() | some.integers(0, 300))
def test_any_message_is_read_or_refused_with_a_status(message, tail, length):
    head = json.dumps(message).encode()
    status, read_as = 200, None
    try:
        read_as = type(read_infer(head + tail, len(head) if length is None else length, SPEC, OUTPUTS).batch)
    except ServingError as error:
        status = error.status
    assert (status, read_as) in {(200, np.ndarray), (200, tuple), (400, None), (413, None)}
