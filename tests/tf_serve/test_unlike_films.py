"""A bundle with a reference of grey levels says what is odd about a film; one without serves as before and says so."""

import base64

import numpy as np
import pytest

from tbconv.contract.bundle import read_bundle, seal
from tbconv.contract.errors import BundleError, ConfigError, Silence
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray.reference import GREY_REFERENCE, GREYS, MIRRORED_LIMIT, NO_REFERENCE_LIMIT, fit_reference
from tf_serve.fallback import choose_model
from tf_serve.predict import UNDECIDED_LIMIT, screen


@pytest.fixture
def with_reference(make_bundle, draw_film):
    """Return a function that writes a bundle whose reference is that of forty phantoms."""

    def make(near=0.0):
        root = make_bundle()
        inputs = np.stack([PreprocessSpec().model_input(draw_film(seed)) for seed in range(40)])
        (root / GREY_REFERENCE).write_bytes(fit_reference(inputs[:30], inputs[30:], near=(near, near)).to_bytes())
        seal(root, read_bundle(root).manifest)
        return root

    return make


def _answer(root, data):
    bundle = read_bundle(root)
    return screen(data, choose_model(bundle), bundle.manifest)


def test_a_bundle_without_a_reference_answers_as_before_and_says_so(make_bundle, with_reference, film):
    old, new = _answer(make_bundle("old"), film), _answer(with_reference(), film)
    assert old.finding == new.finding
    assert NO_REFERENCE_LIMIT in old.limits
    assert NO_REFERENCE_LIMIT not in new.limits


def test_a_pale_film_and_a_mirrored_one_get_a_limit_and_a_film_as_it_comes_gets_none(with_reference, draw_film, as_png):
    root, drawn = with_reference(), draw_film(50)
    plain = _answer(root, as_png(drawn))
    pale = _answer(root, as_png((drawn * 0.3 + 150).astype(np.uint8)))
    mirrored = _answer(root, as_png(drawn[:, ::-1].copy()))
    [unlike] = set(pale.limits) - set(plain.limits)
    assert "unlike those that the network was trained on" in unlike
    assert GREYS in unlike
    assert MIRRORED_LIMIT not in plain.limits
    assert not any("unlike" in limit for limit in plain.limits)
    assert mirrored.finding is not None  # said, not turned over, not refused


def test_a_margin_at_the_threshold_is_said_to_be_near(with_reference, film):
    assert any("within 1e+03 of the threshold" in limit for limit in _answer(with_reference(near=1e3), film).limits)


def test_a_changed_reference_is_refused_as_every_file_that_answers_is(with_reference, film):
    root = with_reference()
    data = bytearray((root / GREY_REFERENCE).read_bytes())
    data[len(data) // 2] ^= 1
    (root / GREY_REFERENCE).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=GREY_REFERENCE):
        _answer(root, film)


def test_the_suite_runs_a_bundle_as_it_is_served_and_leaves_it_as_it_is(with_reference, draw_film, tmp_path):
    from convert.certificate.robustness.suite import RobustnessConfig, audit_robustness
    from torch_train.run_folder import HELDOUT_FILMS, Films, write_films

    root, run = with_reference(), tmp_path / "run"
    run.mkdir()
    inputs = np.stack([PreprocessSpec().model_input(draw_film(seed)) for seed in range(60, 64)])
    write_films(run / HELDOUT_FILMS, Films(inputs, np.array([0, 1, 0, 1]), np.array(["test"] * 4)))
    record = audit_robustness(RobustnessConfig(target=root, run=run, out=tmp_path / "report"), Silence())
    read_bundle(root).verify_digests()
    assert record["answered_by"]["has_reference"] is True
    assert record["unchanged"]["n"] == 4
    rows = {row["change"]: row for row in record["changes"]}
    assert len(rows) == 24
    assert rows["white_border"]["with_limit"] == rows["white_border"]["n"] > 0
    assert (tmp_path / "report" / "robustness.html").is_file()
    with pytest.raises(ConfigError, match="inside the bundle"):
        audit_robustness(RobustnessConfig(target=root, run=run, out=root / "report"), Silence())


def test_the_tensor_protocols_say_of_a_film_what_the_screening_api_says(with_reference, serve, draw_film, as_png):
    root, drawn = with_reference(near=1e3), draw_film(50)
    films = [as_png(drawn), as_png((drawn * 0.3 + 150).astype(np.uint8))]
    own = [[limit for limit in _answer(root, one).limits if "unlike" in limit or "within" in limit] for one in films]
    assert [len(one) for one in own] == [1, 2]
    wanted = [f"film {number}: {' '.join(limits)}" for number, limits in enumerate(own)]
    texts = [base64.b64encode(one).decode() for one in films]
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": texts}
    with serve(root) as client:
        answer = client.post("/v2/models/tiny/infer", json={"inputs": [tensor]}).json()
        rows = client.post("/v1/models/tiny:predict", json={"instances": [{"b64": text} for text in texts]})
        model_input = PreprocessSpec().model_input(drawn).reshape(1, 224, 224, 1)
        numbers = {
            "name": "image",
            "shape": [1, 224, 224, 1],
            "datatype": "UINT8",
            "data": model_input.ravel().tolist(),
        }
        prepared = client.post("/v2/models/tiny/infer", json={"inputs": [numbers]}).json()
    said = [line.replace(f" {UNDECIDED_LIMIT}", "") for line in answer["parameters"]["limits"].split("\n")]
    assert said == wanted
    assert rows.headers["x-limits"] == " ".join(answer["parameters"]["limits"].split("\n"))
    assert "within 1e+03 of the threshold" in prepared["parameters"]["limits"]  # of a tensor, by its margin alone
    assert "unlike" not in prepared["parameters"]["limits"]
