"""Two processes on the CPU, through gloo."""

import json

import pytest
import ranked_ends
import ranked_work
import torch

from tbconv.contract.errors import ConfigError, SetupError
from torch_train.config import TrainConfig
from torch_train.engine.distributed import Job, launch_processes, use_device


@pytest.fixture(scope="module")
def recipe_of_two(films, tmp_path_factory):
    return TrainConfig(
        data=films,
        out=tmp_path_factory.mktemp("ranks") / "run",
        arch="resnet10",
        weights="none",
        fine_tune="5",
        patient=r"patient(\d+)_",
        epochs=2,
        schedule="plateau",  # which may be resumed for longer
        batch=4,
        device="cpu",
        film_cache=False,
    )


@pytest.fixture(scope="module")
def answers(recipe_of_two, tmp_path_factory):
    """What each of two ranks found."""
    folder = tmp_path_factory.mktemp("answers")
    launch_processes(Job(ranked_work.all_together, (recipe_of_two, folder), 2, "cpu"))
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.fixture
def as_many_threads_as_a_rank():
    """Sums over as many parts, so that one process can be held to two to the bit."""
    before = torch.get_num_threads()
    use_device("cpu", 0, 2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("number", "count"), [(0, 27), (1, 3)])  # 3: one batch, so that the second rank has none
def test_two_ranks_give_every_film_once_the_margin_that_one_gives_to_the_bit(
    answers, as_many_threads_as_a_rank, number, count
):
    alone = ranked_work.margins(range(count))
    assert alone.shape == (count,)
    for found in answers:
        assert found["margins"][number].tobytes() == alone.tobytes()


def test_a_rank_without_a_batch_knows_how_many_labels_there_are(answers, as_many_threads_as_a_rank):
    alone = ranked_work.label_logits(range(3))  # one batch
    assert alone.shape == (3, 3)
    assert all(found["labels"].tobytes() == alone.tobytes() for found in answers)


def test_ranks_share_an_order_and_take_equally_many_films_of_each_step(answers):
    first, second = answers
    assert first["rows"] == second["rows"]
    assert [len(batch) for batch in first["rows"]] == [8, 8, 8]  # of 27: 3 more would give one rank two, one but one
    for step, own, other in zip(first["rows"], first["shares"], second["shares"], strict=True):
        assert sorted(own + other) == sorted(step)
        assert len(own) == len(other) == 4
    assert first["dropout"] != second["dropout"]


def test_an_averaged_step_is_distributed_data_parallels_step(answers):
    first, second = answers
    for key, weight in first["own"].items():
        assert torch.equal(weight, second["own"][key]), key
        assert torch.allclose(weight, first["peer"][key], rtol=1e-4, atol=2e-6), key
    start = dict(ranked_work.drawn_network().named_parameters())
    assert not any(torch.equal(weight, start[key]) for key, weight in first["own"].items())


def test_ranks_end_a_training_with_the_same_weights_and_margins_and_write_one_history(answers, recipe_of_two):
    first, second = answers
    for key, value in first["whole"].items():
        assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(second["whole"][key])), key
    rows = [json.loads(line) for line in (recipe_of_two.out / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]


def test_two_ranks_resume_to_the_bit(answers):
    for found in answers:
        for key, value in found["whole"].items():
            assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(found["resumed"][key])), key


def test_an_error_that_one_rank_states_ends_all_and_is_raised():
    with pytest.raises(ConfigError, match="the second cannot"):
        launch_processes(Job(ranked_ends.refuse_on_the_second, (), 2, "cpu"))


def test_a_rank_that_was_killed_ends_all_and_is_stated():
    with pytest.raises(SetupError, match="1 of 2 processes died") as caught:
        launch_processes(Job(ranked_ends.kill_the_second, (), 2, "cpu"))
    assert "SIGKILL" in caught.value.why
