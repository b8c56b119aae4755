import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from team_networks import draw_net

from tbconv.contract.errors import ConfigError, DataError, SetupError, Silence
from tbconv.contract.files import only_writer
from torch_train.adopt import (
    AdoptConfig,
    adopt,
    load_network,
    read_digests,
    require_usable,
    set_apart,
)
from torch_train.data.dataset import prepare_films
from torch_train.run_folder import read_films, read_run


class Ear(Silence):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    place = tmp_path_factory.mktemp("team") / "resnet18.pt"
    torch.save(draw_net("resnet18").state_dict(), place)
    return place


@pytest.fixture
def order(checkpoint, films, tmp_path):
    def make(**changes):
        base = {
            "checkpoint": checkpoint,
            "arch": "resnet18",
            "data": films,
            "out": tmp_path / "run",
            "patient": r"patient(\d+)_",
            "device": "cpu",
            "calibration_films": 8,
            "heldout_films": 8,
        }
        return AdoptConfig(**(base | changes))

    return make


@pytest.fixture(scope="module")
def adopted(checkpoint, films, tmp_path_factory):
    ear, out = Ear(), tmp_path_factory.mktemp("adopted") / "run"
    config = AdoptConfig(
        checkpoint=checkpoint, arch="resnet18", data=films, out=out, patient=r"patient(\d+)_", device="cpu"
    )
    adopt(config, ear)
    return out, ear.lines


def test_the_run_folder_is_one_that_training_could_have_left(adopted):
    run, _ = adopted
    facts = read_run(run)
    assert (facts.arch, set(facts.decision_rules)) == ("torchvision-resnet18", {"trained", "baseline"})
    names = {"metrics.json", "weights.safetensors", "baseline.safetensors", "split.json", "report.md", "confusion.png"}
    assert names <= {path.name for path in run.iterdir()}
    assert set(read_films(run / "calibration.npz").part) == {"train"}
    assert set(read_films(run / "heldout.npz").part) == {"test", "validation"}


def test_it_says_where_the_weights_came_from_and_what_they_were_fed(adopted, checkpoint):
    run, said = adopted
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    recipe = json.loads((run / "train_config.json").read_text())
    assert (recipe["checkpoint_sha256"], recipe["normalise"]) == (digest, "imagenet")
    assert read_run(run).provenance["adopted"]["sha256"] == digest
    assert "epochs" not in recipe
    assert any("normalisation: imagenet" in line for line in said)
    assert any("--trained-on" in line for line in said)
    assert digest in (run / "report.md").read_text()


def test_the_weights_are_the_teams(adopted, checkpoint):
    ours, theirs = load_file(adopted[0] / "weights.safetensors"), torch.load(checkpoint, weights_only=True)
    assert torch.equal(ours["body.layer3.0.conv1.weight"], theirs["layer3.0.conv1.weight"])
    assert torch.equal(ours["head.dense.weight"], theirs["fc.weight"])


def test_a_folder_with_a_run_is_not_overwritten(adopted, order):
    with pytest.raises(ConfigError, match="holds a run already"):
        adopt(order(out=adopted[0]), Silence())


def test_films_that_are_refused_leave_no_folder(order, tmp_path):
    (tmp_path / "empty").mkdir()
    config = order(data=tmp_path / "empty")
    with pytest.raises(DataError):
        adopt(config, Silence())
    assert not config.out.exists()


@pytest.mark.parametrize(("unseen", "what"), [(2.5 + 1e-6, "same margin for every film"), (np.inf, "NaN or infinity")])
def test_margins_that_are_alike_or_not_finite_are_refused_and_those_of_training_films_not_read(order, unseen, what):
    found = prepare_films(order().films(), Silence())
    margins = np.full(len(found.labels), np.nan, np.float32)
    for part in ("validation", "test"):
        margins[found.parts[part]] = 2.5
    margins[found.parts["test"][0]] = unseen
    with pytest.raises(ConfigError, match=what) as caught:
        require_usable(margins, found, order())
    assert "--normalise" in caught.value.fix
    margins[found.parts["test"][0]] = 2.51
    require_usable(margins, found, order())


def test_imagenets_three_channels_do_not_fit_a_grey_stem(order, tmp_path):
    torch.save(draw_net("resnet18", grey_stem=True).state_dict(), tmp_path / "grey.pt")
    with pytest.raises(ConfigError, match="normalisation imagenet does not fit") as caught:
        load_network(order(checkpoint=tmp_path / "grey.pt"), Silence())
    assert "--mean M --std S" in caught.value.fix
    network = load_network(order(checkpoint=tmp_path / "grey.pt", normalise="none"), Silence())
    assert (network.normalise.weight.flatten().tolist(), network.normalise.bias.tolist()) == ([1.0], [0.0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"normalise": "zscore"}, "--normalise is 'zscore'"),
        ({"mean": (0.5,)}, "--mean and --std go together"),
        ({"mean": (0.5,), "std": (0.2,), "normalise": "unit"}, "without --normalise"),
        ({"mean": (0.5, 0.5), "std": (0.2, 0.2)}, "--mean has 2 values"),
        ({"mean": (0.5,), "std": (0.0,)}, "--std 0.0"),
        ({"arch": "xray-resnet50", "normalise": "unit"}, "--arch xray-resnet50 with --normalise"),
        ({"positive_output": 2}, "--positive-output is 2"),
        ({"fractions": (0.5, 0.5, 0.5)}, "fractions"),
        ({"target_sensitivity": 1.5}, "--target-sensitivity"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_a_film_is_read(order, change, said):
    with pytest.raises(ConfigError, match=said):
        order(**change)


def test_films_that_the_checkpoint_has_seen_judge_nothing_nor_do_their_patients(order, films, tmp_path):
    config = order()
    found = prepare_films(config.films(), Silence())
    seen = [row for label in (0, 1) for row in np.flatnonzero(found.labels == label)[:4]]
    listed = tmp_path / "seen.txt"
    listed.write_text("".join(f"{found.digests[row]}  film.png\n" for row in seen))
    apart = set_apart(found, read_digests(listed), seed=0, fractions=(0.7, 0.2, 0.1))
    known = set(found.patients[seen])
    assert {int(one) for one in apart.patients_of("train")} == {int(one) for one in known}
    assert not known & {*apart.patients_of("validation"), *apart.patients_of("test")}
    assert sum(len(rows) for rows in apart.parts.values()) == len(found.labels)
    assert len(apart.parts["validation"]) > len(apart.parts["test"]) > 1
    assert apart.split_digest != found.split_digest


def test_a_list_that_leaves_nothing_to_judge_by_or_fits_no_film_is_refused(order):
    found = prepare_films(order().films(), Silence())
    with pytest.raises(DataError, match="validation part has no film"):
        set_apart(found, frozenset(found.digests), seed=0, fractions=(0.7, 0.2, 0.1))
    with pytest.raises(ConfigError, match="matches no film"):
        set_apart(found, frozenset({"0" * 64}), seed=0, fractions=(0.7, 0.2, 0.1))


def test_outputs_that_stand_the_other_way_round_are_noticed(order):
    found = prepare_films(order(fractions=(0.2, 0.6, 0.2)).films(), Silence())
    right = np.where(found.labels == 1, 2.0, -2.0).astype(np.float32)
    require_usable(right, found, order())
    with pytest.raises(ConfigError, match="wrong way round") as caught:
        require_usable(-right, found, order())
    assert "--positive-output 0" in caught.value.fix


def test_an_adoption_without_room_or_with_another_writer_is_refused_before_a_film_is_read(order, monkeypatch):
    config, ear = order(), Ear()
    config.out.mkdir()
    with only_writer(config.out), pytest.raises(ConfigError, match="is being written by another process"):
        adopt(config, ear)
    monkeypatch.setattr("tbconv.contract.files._free", lambda _: 10_000_000)
    with pytest.raises(SetupError, match=r"this run needs \d+ MB, 10 MB are free"):
        adopt(config, ear)
    assert list(config.out.iterdir()) == []
