"""What is wrong with films, labels or the folder to write is said before a weight is loaded."""

import pytest

from tbconv.contract.errors import ConfigError, DataError, Silence, TbconvError
from torch_train.adopt import AdoptConfig, adopt
from torch_train.config import TrainConfig
from torch_train.train import train


@pytest.fixture
def films(tmp_path):
    """Two classes of nothing that could be decoded: names and folders are looked at first."""
    for name in ("Normal/a.png", "Tuberculosis/b.png"):
        (tmp_path / "films" / name).parent.mkdir(parents=True)
        (tmp_path / "films" / name).write_bytes(b"\x89PNG\r\n\x1a\n drawn")
    (tmp_path / "films.run").mkdir()
    (tmp_path / "films.run" / "run.json").write_text("{}")
    return tmp_path / "films"


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch):
    monkeypatch.setattr("torch_train.train.start_network", lambda *_: pytest.fail("weights were loaded"))
    monkeypatch.setattr("torch_train.adopt.load_network", lambda *_: pytest.fail("the checkpoint was opened"))


WRONG = [
    ({"data": "nowhere"}, DataError, "is not a folder"),
    ({"data": "films.run"}, DataError, "is given as films"),
    ({"data": "films/Normal"}, DataError, "films/Normal"),
    ({"positive": "measles"}, TbconvError, "measles"),
    ({"out": "films.run"}, ConfigError, "holds a run already"),
]


def begin(command, checkpoint, **options):
    if command == "train":
        return train(TrainConfig(**options), Silence())
    return adopt(AdoptConfig(checkpoint=checkpoint, arch="resnet18", **options), Silence())


@pytest.mark.parametrize(("given", "error", "words"), WRONG, ids=str)
@pytest.mark.parametrize("command", ["train", "adopt"])
def test_films_labels_and_out_are_looked_at_first(films, tmp_path, command, given, error, words):
    paths = {"data": films, "out": tmp_path / "run"}
    options = {name: tmp_path / value if name in paths else value for name, value in given.items()}
    with pytest.raises(error) as found:
        begin(command, tmp_path / "best.pth", **paths | options)
    assert words in str(found.value)
    assert not (tmp_path / "run").exists()
