"""`tbconv page`: what is written, what binds it, what is refused, and that nothing else is replaced."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import tbconv
from tbconv.cli import app
from tbconv.contract.bundle import MANIFEST, read_bundle
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import BundleError, ConfigError, SetupError
from tbconv.contract.files import sha256_bytes, sha256_file
from tbconv.contract.golden import GOLDEN_FILMS, read_golden
from tf_serve.server.static_page import UNLISTED, PageConfig, write_page


def written(root, out, **options):
    done = write_page(PageConfig(bundle=root, out=out, **options))
    return done, json.loads((out / "site.json").read_bytes())


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def site(provable_bundle, no_engine, tmp_path):
    """A bundle, its page and site.json."""
    root = provable_bundle()
    return root, tmp_path / "site", written(root, tmp_path / "site")[1]


def test_every_file_is_bound_by_digest_to_the_pages(site):
    _, out, listing = site
    found = tree(out)
    assert listing["files"] == {name: sha256_bytes(data) for name, data in found.items() if name not in UNLISTED}
    digest = sha256_file(out / "site.json")
    for name in ("index.html", "model.html"):
        assert f'<meta name="tbconv-site" content="{digest}">' in found[name].decode()
    kept = json.loads(re.search(r"const KEPT = (.+);", found["service-worker.js"].decode())[1])
    assert f'const SITE = "{digest}"' in found["service-worker.js"].decode()
    assert set(kept) == found.keys() - {"service-worker.js"}


def test_what_answers_is_what_the_server_answers_with_and_is_shipped_to_the_byte(site, serve, film, ask):
    root, out, listing = site
    assert (
        sha256_file(out / "model.tflite")
        == listing["model"]["sha256"]
        == read_bundle(root).digest(listing["model"]["artefact"])
    )
    assert listing["manifest"] == json.loads((root / MANIFEST).read_bytes())
    assert listing["manifest_sha256"] == sha256_file(root / MANIFEST) == listing["model"]["digest"]
    with serve(root) as client:
        answer = ask(client, film).json()
        papers = {
            name: json.loads((out / f"papers/{name}.json").read_bytes()) for name in ("model", "certificate", "models")
        }
        for name, paper in papers.items():
            assert forget(paper) == forget(client.get(f"/api/v1/{name}").json())
    said = listing["answer"]
    assert forget(said["model"]) == forget(answer["model"])
    for name in ("calibration", "threshold", "threshold_score", "indeterminate_band", "limits"):
        assert said[name] == answer[name], name


def forget(value):
    """Leave out what a server learns of a bundle's other files after it has begun to answer."""
    if isinstance(value, dict):
        return {key: forget(one) for key, one in value.items() if key != "altered"}
    return [forget(one) for one in value] if isinstance(value, list) else value


def test_the_golden_files_carry_what_was_recorded_and_what_the_scorer_answers(site):
    root, out, listing = site
    recorded = read_golden(root / "golden.npz").answers[listing["model"]["artefact"]]
    scorer = tbconv.Scorer(root)
    rows = listing["golden"]
    assert [row["name"] for row in rows] == ["one", "two", "three", "film 0", "film 1"]
    for at, row in enumerate(rows):
        data = (out / row["film"]).read_bytes()
        assert row["sha256"] == sha256_bytes(data)
        answer = scorer.score(data).to_json()
        assert row["answer"] == json.loads(json.dumps({key: one for key, one in answer.items() if key != "result_id"}))
        assert row["gate"] == answer["reason"]
        if at < 3:
            assert np.float32(row["logits"]).tobytes() == recorded.logits[at].tobytes()
            assert np.float32(row["evidence"]).tobytes() == recorded.evidence[at].tobytes()
        else:
            assert answer["margin"] == np.float32(row["logits"][1]) - np.float32(row["logits"][0])
    assert {row["answer"]["status"] for row in rows} == {"ok", "rejected"}


def test_the_same_bundle_gives_the_same_bytes_and_replaces_its_own_page_alone(site, tmp_path, provable_bundle):
    root, out, _ = site
    before = tree(out)
    write_page(PageConfig(bundle=root, out=out))
    assert tree(out) == before
    (out / "CNAME").write_text("films.example.org")
    with pytest.raises(BundleError, match="holds more than a page") as refused:
        write_page(PageConfig(bundle=root, out=out))
    assert "CNAME" in refused.value.why
    (out / "CNAME").unlink()
    other = provable_bundle("other", threshold=1.5)
    write_page(PageConfig(bundle=other, out=out))
    assert tree(out)["site.json"] != before["site.json"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["a folder of others", "figures of a site", "a file"])
def test_nothing_that_is_no_page_is_replaced(provable_bundle, no_engine, tmp_path, kind):
    out = tmp_path / "taken"
    if kind == "a file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / ("site.json" if kind == "figures of a site" else "index.html")).write_text('{"format": 1, "films": {}}')
    before = out.read_bytes() if out.is_file() else tree(out)
    with pytest.raises(BundleError, match="is no page of tbconv"):
        write_page(PageConfig(bundle=provable_bundle(), out=out))
    assert (out.read_bytes() if out.is_file() else tree(out)) == before


def test_it_is_not_written_into_the_bundle(provable_bundle, no_engine):
    root = provable_bundle()
    with pytest.raises(ConfigError, match="lies inside the bundle"):
        write_page(PageConfig(bundle=root, out=root / "site"))


def test_the_artefact_is_chosen_as_by_the_server(provable_bundle, no_engine, tmp_path):
    root = provable_bundle()
    done, listing = written(root, tmp_path / "site", artefact="model_float32.tflite")
    assert (done.model["artefact"], listing["model"]["artefact"]) == ("model_float32.tflite",) * 2
    with pytest.raises(BundleError, match=r"the bundle has no model\.h5"):
        write_page(PageConfig(bundle=root, out=tmp_path / "b", artefact="model.h5"))


def test_a_trained_file_that_may_not_answer_leaves_the_baseline_with_the_reason(provable_bundle, no_engine, tmp_path):
    failed = {"model_float32.tflite": Verdict.FAILED, "baseline.tflite": Verdict.CERTIFIED}
    done, listing = written(provable_bundle(verdicts=failed), tmp_path / "site")
    assert done.model["kind"] == listing["answer"]["network"] == "baseline"
    assert "FAILED" in listing["answer"]["model"]["fallback_reason"]
    assert listing["model"]["artefact"] == "baseline.tflite"


def test_a_bundle_of_which_nothing_may_answer_is_refused(provable_bundle, no_engine, tmp_path):
    none = {"model_float32.tflite": Verdict.FAILED, "baseline.tflite": Verdict.FAILED}
    with pytest.raises(BundleError, match=r"baseline\.tflite may not serve"):
        write_page(PageConfig(bundle=provable_bundle(verdicts=none), out=tmp_path / "site"))
    assert not (tmp_path / "site").exists()


def test_a_bundle_that_cannot_prove_itself_is_refused(provable_bundle, add_golden, make_bundle, no_engine, tmp_path):
    with pytest.raises(BundleError, match="cannot prove itself in a browser") as refused:
        write_page(PageConfig(bundle=make_bundle("bare"), out=tmp_path / "site"))
    assert "no golden.npz and no golden_films.npz" in refused.value.why
    with pytest.raises(BundleError, match="cannot prove itself in a browser"):
        write_page(PageConfig(bundle=add_golden(make_bundle("older")), out=tmp_path / "site"))
    root = provable_bundle()
    (root / GOLDEN_FILMS).write_bytes(b"altered")
    with pytest.raises(BundleError, match=GOLDEN_FILMS):
        write_page(PageConfig(bundle=root, out=tmp_path / "site"))


def test_a_file_of_open_batch_is_refused_since_a_browser_answers_its_first_film_alone(
    provable_bundle, networks, no_engine, tmp_path
):
    root = provable_bundle(sources={"model_int8.tflite": networks / "model_int8.tflite"})
    with pytest.raises(BundleError, match="cannot answer in a browser") as refused:
        write_page(PageConfig(bundle=root, out=tmp_path / "site", artefact="model_int8.tflite"))
    assert "its batch is open" in refused.value.why
    assert not (tmp_path / "site").exists()


def test_where_this_machine_rounds_otherwise_films_are_held_to_their_model_inputs(provable_bundle, no_engine, tmp_path):
    def rounded(answers):
        return {name: replace(one, logits=np.nextafter(one.logits, np.float32(99))) for name, one in answers.items()}

    done, listing = written(provable_bundle(change=rounded), tmp_path / "site")
    assert not done.repeats
    assert [row["answer"] for row in listing["golden"]] == [None] * 5
    assert [row["logits"] is None for row in listing["golden"]] == [False] * 3 + [True] * 2


def test_the_figures_of_a_site_stand_in_the_limits_and_those_of_another_bundle_are_refused(
    provable_bundle, no_engine, tmp_path
):
    root, place = provable_bundle(), tmp_path / "figures.json"
    figure = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40, "method": "drawn"}
    bundle = read_bundle(root)
    known = {"manifest_sha256": bundle.sha256, "artefact": "model_float32.tflite"}
    figures = {
        "format": 1,
        "bundle": known | {"sha256": bundle.digest("model_float32.tflite")},
        "films": {"n": 80},
        "settings": {"prevalence": 0.05},
        "worse": ["specificity"],
        "figures": dict.fromkeys(("sensitivity", "specificity", "ppv"), figure),
    }
    place.write_text(json.dumps(figures))
    _, listing = written(root, tmp_path / "site", site=place, artefact="model_float32.tflite")
    assert any("Measured on 80 films of this site" in limit for limit in listing["answer"]["limits"])
    with pytest.raises(BundleError, match="of another bundle"):
        write_page(PageConfig(bundle=provable_bundle("other", threshold=1.0), out=tmp_path / "b", site=place))


def test_without_an_engine_it_says_how_to_build_one(provable_bundle, no_engine, tmp_path):
    (no_engine / "engine" / "index.js").unlink()
    with pytest.raises(SetupError) as refused:
        write_page(PageConfig(bundle=provable_bundle(), out=tmp_path / "site"))
    assert refused.value.fix == "in a checkout: make client"


def test_a_page_whose_words_changed_is_not_written_half(provable_bundle, no_engine, tmp_path):
    place = no_engine / "index.html"
    place.write_text(place.read_text().replace(">No film yet.</p>", ">Nothing here.</p>"))
    with pytest.raises(ValueError, match="no longer holds"):
        write_page(PageConfig(bundle=provable_bundle(), out=tmp_path / "site"))
    assert not (tmp_path / "site").exists()


def test_the_command_says_what_it_wrote_and_how_to_try_it(provable_bundle, no_engine, tmp_path):
    root, out = provable_bundle(), tmp_path / "site"
    done = CliRunner().invoke(app, ["page", str(root), "--out", str(out)])
    assert done.exit_code == 0, done
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"page: {out} (")
    assert sha256_file(out / "site.json")[:12] in lines[0]
    assert f"python -m http.server --bind 127.0.0.1 --directory {out}" in done.stdout
    assert "not a medical device" in lines[-1]
    as_json = CliRunner().invoke(app, ["page", str(root), "--out", str(out), "--json"])
    found = json.loads(as_json.stdout)
    assert (found["folder"], found["golden"], found["repeats"]) == (str(out), 5, True)
    assert found["files"] == len(tree(out))
    assert found["bytes"] == sum(map(len, tree(out).values()))
    assert tbconv.page(root, out).version == found["version"]


def test_a_policy_as_strict_as_the_servers_stands_before_anything_is_loaded(site):
    _, out, _ = site
    from tf_serve.server.middleware import POLICY

    for name in ("index.html", "model.html"):
        text = (out / name).read_text()
        assert text.index("Content-Security-Policy") < text.index("<link") < text.index("<script")
        rules = dict(rule.split(" ", 1) for rule in re.search(r'Policy" content="([^"]+)"', text)[1].split("; "))
        server = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
        assert rules.pop("script-src") == "'self' 'wasm-unsafe-eval'"
        assert {key: rules.get(key) for key in server} == server | {"script-src": None, "frame-ancestors": None}
        assert {rules[key] for key in rules.keys() - server.keys()} == {"'self'"}
        assert not re.search(r"https?://", re.sub(r"http://127\.0\.0\.1:8000|http://www\.w3\.org", "", text))
