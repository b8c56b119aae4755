import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tbconv.contract.errors import ConfigError, DataError
from tbconv.contract.reporter import Silence
from tbconv.contract.threshold import OperatingPoint
from torch_train.config import TrainConfig
from torch_train.deploy import load_deployed
from torch_train.distillation import Answers, Distillation, closeness
from torch_train.fake_quant import FakeQuantised, fake_quantise_activation, fake_quantise_weight, fold
from torch_train.network import XrayNetwork
from torch_train.quantise_aware import quantise_aware
from torch_train.rounding_lesson import QuantiseAwareConfig
from torch_train.run_folder import read_run
from torch_train.train import train

POINT = OperatingPoint(
    margin=0.5, wished_sensitivity=0.9, sensitivity=0.9, specificity=0.9, positives=1, negatives=1, chosen_on="0" * 64
)


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    """A finished run of the small network."""
    out = tmp_path_factory.mktemp("quantise") / "run"
    config = TrainConfig(
        data=films,
        out=out,
        arch="resnet10",
        weights="none",
        fine_tune="all",
        patient=r"patient(\d+)_",
        epochs=1,
        batch=8,
        device="cpu",
        calibration_films=4,
        heldout_films=6,
    )
    train(config, Silence())
    return out


@pytest.fixture(scope="module")
def taught(run, films, tmp_path_factory):
    """The run that fine-tuning makes of it, with the figures of its epochs."""
    out = tmp_path_factory.mktemp("taught") / "run"
    config = QuantiseAwareConfig(
        run=run, data=films, out=out, epochs=2, batch=8, learning_rate=1e-4, recalibrate_every=2, device="cpu"
    )
    return out, quantise_aware(config, Silence())


@pytest.fixture
def small():
    """A small network whose BatchNorms have seen films, and those films."""
    torch.manual_seed(0)
    network = XrayNetwork("resnet10")
    films = torch.randint(0, 256, (2, 1, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        network.train()(films.float())
    return network.eval(), films


def test_a_weight_keeps_255_symmetric_levels_an_output_channel():
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 2, 5).reshape(
        -1, 1, 1, 1
    )
    levels = fake_quantise_weight(weight) / (weight.abs().amax((1, 2, 3), keepdim=True) / 127)
    assert (levels - levels.round()).abs().max() < 1e-3
    assert levels.abs().amax((1, 2, 3)).round().tolist() == [127.0] * 5


def test_a_channel_of_zeros_stays_zeros():
    assert fake_quantise_weight(torch.zeros(2, 1, 3, 3)).abs().max() == 0


def test_an_activation_keeps_256_levels_and_zero_is_one_of_them():
    values = torch.linspace(-0.7, 2.3, 10_001)
    rounded = fake_quantise_activation(values, torch.tensor([-0.7, 2.3]))
    assert len(rounded.unique()) == 256
    assert 0.0 in rounded.unique().tolist()
    assert (rounded - values).abs().max() <= 3.0 / 255 * 0.501 + 3.0 / 255 / 2  # half a step, and the nudged zero


def test_the_gradient_passes_rounding_and_stops_where_values_are_cut_off():
    values = torch.tensor([-5.0, 0.2, 0.9, 5.0], requires_grad=True)
    fake_quantise_activation(values, torch.tensor([-1.0, 1.0])).sum().backward()
    assert values.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_folding_a_batch_norm_into_its_convolution_changes_nothing(small):
    body, x = small[0].body.double(), torch.linspace(-2, 2, 1024).double().reshape(1, 1, 32, 32)
    weight, bias = fold(body.conv1, body.bn1)
    folded = torch.nn.functional.conv2d(x, weight, bias, stride=2, padding=3)
    assert torch.allclose(folded, body.bn1(body.conv1(x)), rtol=0, atol=1e-12)


def test_while_it_watches_the_rounded_network_is_the_network(small):
    network, films = small
    watching = FakeQuantised(network)
    with torch.no_grad(), watching._watch():
        logits, features = watching(films.float())
        assert torch.allclose(logits, network(films.float()), rtol=0, atol=1e-4)
        assert torch.allclose(features, network.body(network.normalise(films.float())), rtol=0, atol=1e-3)


def test_rounding_changes_the_answer_a_little_and_the_features_have_256_levels(small):
    network, films = small
    rounded = FakeQuantised(network)
    rounded.calibrate(films, batch=1)
    with torch.no_grad():
        logits, features = rounded(films.float())
        change = (logits - network(films.float())).abs().max()
    assert 0 < change < 0.1
    assert len(features.unique()) <= 256


def test_the_film_keeps_whole_greys_whatever_the_calibration_films_hold(small):
    network, films = small
    network.mean.fill_(115.3)  # at the default 114.5 every grey is a tie between two levels
    rounded = FakeQuantised(network)
    rounded.calibrate(films.clamp(60, 180), batch=4)
    greys = torch.arange(256.0)
    seen = fake_quantise_activation(network.normalise(greys), rounded.reach["image"]) * network.std + network.mean
    assert (seen - greys).std() < 1e-3  # all moved by the same part of a grey level
    assert (seen - greys).abs().max() <= 0.501


def test_the_last_convolution_of_a_block_shares_the_range_of_its_sum_as_the_converter_has_it(small):
    network, films = small
    joined, apart = FakeQuantised(network), FakeQuantised(network, joined_ranges=False)
    joined.calibrate(films, batch=4)
    apart.calibrate(films, batch=4)
    own, total = apart.reach["layer2.0.conv2"], apart.reach["layer2.0.sum"]
    assert joined.reach["layer2.0.conv2"].tolist() == [min(own[0], total[0]), max(own[1], total[1])]
    assert joined.reach["layer2.0.conv1"].tolist() == apart.reach["layer2.0.conv1"].tolist()


def test_a_film_near_the_threshold_weighs_more_in_the_loss():
    distillation = Distillation(spread=2.0, threshold=1.0, near_weight=4.0, near_width=0.25, feature_weight=0.0)
    features = torch.ones(1, 1, 7, 7)

    def loss(margin):
        teacher = Answers(torch.tensor([[0.0, margin]]), features)
        return float(distillation.loss(Answers(teacher.logits + torch.tensor([[0.0, 0.1]]), features), teacher))

    assert loss(1.0) == pytest.approx((5 + 0.5) * (0.1 / 2) ** 2, rel=1e-4)
    assert loss(9.0) == pytest.approx((1 + 0.5) * (0.1 / 2) ** 2, rel=1e-4)


def test_closeness_tells_missed_from_added_decisions():
    truth = np.array([[0.0, 0.6], [0.0, 0.4], [0.0, 3.0]])
    found = closeness(truth, truth + np.array([[0.0, -0.2], [0.0, 0.2], [0.0, 0.1]]), POINT)
    assert (found.missed, found.added, found.films) == (1, 1, 3)
    assert found.max_abs_margin == pytest.approx(0.2)


def test_logits_that_do_not_differ_are_300_db_close_which_json_can_hold():
    truth = np.array([[0.0, 0.6]])
    assert closeness(truth, truth, POINT).sqnr_db == 300.0


def test_closeness_refuses_what_is_no_number_and_what_is_nothing():
    with pytest.raises(ValueError, match="finite"):
        closeness(np.zeros((1, 2)), np.array([[0.0, np.nan]]), POINT)
    with pytest.raises(ValueError, match="films"):
        closeness(np.zeros((0, 2)), np.zeros((0, 2)), POINT)


def test_the_pupil_learns_its_teacher_s_answers(taught):
    losses = [figures.loss for figures in taught[1][1:]]
    assert losses[-1] < losses[0]
    assert taught[1][-1].int8.films > 0


def test_what_is_written_is_a_run_with_the_same_films_and_other_convolutions(run, taught):
    out = taught[0]
    before, after = load_file(run / "weights.safetensors"), load_file(out / "weights.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert "body.conv1.weight" in changed
    assert "body.layer4.0.bn2.bias" in changed
    assert not any("running" in name or "num_batches" in name or name.startswith("head.") for name in changed)
    assert (run / "heldout.npz").read_bytes() == (out / "heldout.npz").read_bytes()
    facts, old = read_run(out), read_run(run)
    assert facts.provenance.pop("quantise_aware")["weights_before"]
    assert facts == dataclasses.replace(old)
    load_deployed(out, "trained", arch="resnet10", calibration=facts.readouts["trained"].calibration)


def test_the_record_holds_every_number_and_no_path(taught):
    out, history = taught
    record = json.loads((out / "quantise_aware.json").read_text())
    assert [row["epoch"] for row in record["epochs"]] == [0, 1, 2]
    assert record["epochs"][0]["loss"] is None
    assert record["epochs"][-1]["int8"]["sqnr_db"] == pytest.approx(history[-1].int8.sqnr_db)
    assert record["config"]["learning_rate"] == 1e-4
    assert {"run", "data", "out"}.isdisjoint(record["config"])


def test_no_epoch_measures_and_writes_nothing(run, tmp_path):
    history = quantise_aware(QuantiseAwareConfig(run=run, epochs=0, device="cpu"), Silence())
    assert [figures.epoch for figures in history] == [0]
    assert (history[0].float32.max_abs_margin, history[0].float32.missed, history[0].float32.added) == (0.0, 0, 0)
    assert 10 < history[0].int8.sqnr_db < 100
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_lacks_training_films_is_refused(run, films, tmp_path):
    fewer = tmp_path / "fewer"
    shutil.copytree(films, fewer)
    for path in sorted(fewer.rglob("*.png"))[::3]:
        path.unlink()
    config = QuantiseAwareConfig(run=run, data=fewer, out=tmp_path / "out", epochs=1, device="cpu")
    with pytest.raises(DataError, match=r"lacks \d+ of the \d+ films"):
        quantise_aware(config, Silence())
    assert not (tmp_path / "out").exists()


def test_training_without_films_or_over_a_run_is_refused(run, films):
    with pytest.raises(ConfigError, match="--data or --out is missing"):
        QuantiseAwareConfig(run=run, epochs=1)
    with pytest.raises(ConfigError, match="holds a run already"):
        QuantiseAwareConfig(run=run, data=films, out=run)
