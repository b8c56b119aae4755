import inspect
from pathlib import Path

import pytest

from tbconv.commands.training.train import train as command
from tbconv.contract.errors import ConfigError
from torch_train.config import TrainConfig

PLACES = {"data": Path("films"), "out": Path("run")}


@pytest.mark.parametrize(
    ("field", "value", "option"),
    [
        ("target_sensitivity", 0.0, "--target-sensitivity"),
        ("target_sensitivity", float("nan"), "--target-sensitivity"),
        ("fine_tune", "0", "--fine-tune"),
        ("fine_tune", "some", "--fine-tune"),
        ("batch", 1, "--batch"),
        ("epochs", 0, "--epochs"),
        ("learning_rate", -1.0, "--learning-rate"),
        ("learning_rate", 0.0, "--learning-rate"),
        ("precision", "int8", "--precision"),
        ("operating_point", "lowest", "--operating-point"),
        ("balance", "none", "--balance"),
        ("arch", "vgg", "--arch"),
        ("device", "tpu", "--device"),
        ("rotation", 200.0, "--rotation"),
        ("zoom", 1.0, "--zoom"),
        ("fractions", (0.7, 0.3, 0.0), "fractions"),
    ],
)
def test_nonsense_is_refused_with_its_option_and_value(field, value, option):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**PLACES, **{field: value})
    assert caught.value.what.startswith(f"{option} is {value!r}")


def test_the_rate_follows_the_weights_unless_it_is_given():
    rates = [TrainConfig(**PLACES, weights=weights).rate for weights in ("imagenet", "none")]
    assert (*rates, TrainConfig(**PLACES, learning_rate=0.1).rate) == (3e-4, 1e-3, 0.1)


def test_what_is_stored_has_every_number_and_no_path(tmp_path):
    (tmp_path / "secret.pt").write_bytes(b"x")
    stored = TrainConfig(data=tmp_path, out=tmp_path, weights=str(tmp_path / "secret.pt")).stored()
    assert str(tmp_path) not in str(stored)
    assert "secret" not in str(stored)
    assert stored["weights"].startswith("file sha256:2d711642b726")
    assert set(stored) == set(TrainConfig.__slots__) - {"data", "out", "referral", "log_to"}


def test_the_commands_defaults_are_the_recipes():
    config = TrainConfig(**PLACES)
    options = inspect.signature(command).parameters
    shared = [name for name in options if name in TrainConfig.__slots__ and name not in PLACES]
    given = {name: options[name].default for name in shared}
    given["log_to"] = tuple(given["log_to"] or ())  # Typer's empty list
    assert given == {name: getattr(config, name) for name in shared}
