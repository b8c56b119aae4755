"""The search picks by decisions near the threshold, ends early or at its time, and says what does not hold."""

import re

import numpy as np
import pytest

import convert.quantization.search as search_module
from convert.formats.tflite.plain import Plain, PlainBuilder, simplify
from convert.parity.decisions import Decisions, nearness
from convert.parity.inputs import spread
from convert.quantization.int8 import Recipe
from convert.quantization.search import ENOUGH, FloatNetwork, Ranking, Search, Trial, apart
from convert.quantization.statistics import Ends

SIDE = 24


def network(spread=1.0, seed=0):
    """Draw a small network whose channels reach very differently."""
    draw, builder = np.random.default_rng(seed), PlainBuilder()
    last = builder.scale(builder.image((SIDE, SIDE, 1), "image"), 1 / 60, -2.0, "normalise")
    for number, channels in enumerate((8, 16, 16)):
        reach = np.exp2(spread * draw.integers(-2, 3, channels))
        kernel = draw.normal(size=(3, 3, last.sizes[-1], channels)) * reach / np.sqrt(9 * last.sizes[-1])
        given = {"strides": (1, 1), "dilations": (1, 1), "groups": 1}
        last = builder.activation(
            builder.conv(last, kernel, None, f"conv{number}", 0, **given), "relu", f"relu{number}"
        )
    last = builder.reduce(last, "mean", "mean", keep=False)
    last = builder.dense(last, draw.normal(size=(16, 2)), None, "logits", 0)
    return simplify(Plain(builder.operations[0].inputs[0], tuple(builder.operations), {"logits": last}))


def films(count=64, seed=1):
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (count, SIDE // 4, SIDE // 4)).astype(np.float32)
    return np.kron(coarse, np.ones((4, 4), np.float32))[..., None] * draw.uniform(0.2, 1, (count, 1, 1, 1)).astype(
        np.float32
    )


def started(plain=None, *, threshold=None, first=None, **more):
    plain = plain or network()
    found, given = FloatNetwork(plain, "logits"), np.rint(films())
    logits = found.answers(found.float32, given)
    decided = Decisions.at(float(np.median(logits[:, 1] - logits[:, 0]) if threshold is None else threshold))
    made = Search(found, given, decided, first or Recipe(), **more)
    made._latencies = AnyLatency()
    return made


class AnyLatency(dict):
    """No file of a drawn network is timed: what it takes is its overhead."""

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        return 0.2


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """A drawn network's file is mostly tables, and nothing of it is timed."""
    monkeypatch.setattr(search_module, "SIZE", 2.0)
    monkeypatch.setattr(FloatNetwork, "latency", lambda *_: 0.5)


def test_a_budget_of_nothing_makes_one_candidate_and_ranks_none():
    search = started()
    data = search.run(0)
    report = search.report()
    assert data == search._quantizer(np.arange(64)).make(search.first).data
    assert len(report["candidates"]) == 1
    assert (report["holds"], report["verdict"], report["calibration_films"]) == (None, "not ranked", 64)


def test_the_file_that_moves_films_near_the_threshold_least_is_written():
    worst = Recipe(equalized=0.0, ends=Ends("share", 0.02), rounding="nearest")
    search = started(network(spread=2.0), first=worst)
    data = search.run(60)
    report, ranked = search.report(), [one for one in search.tried if one.recipe is not None]
    assert len(ranked) > 8
    assert search.chosen.near == pytest.approx(min(one.near for one in ranked if one.refused is None), rel=0.05)
    assert search.chosen.near < ranked[0].near / 3
    assert ranked[0].flips > search.chosen.flips
    calibrating, ranking = apart(64, None)
    assert data == search._quantizer(calibrating).make(search.chosen.recipe).data
    assert not set(calibrating) & set(ranking)
    assert report["chosen"] == search.tried.index(search.chosen)
    assert report["candidates"][-1]["recipe"].startswith("dynamic range")
    assert "latency" in report["candidates"][-1]["refused"]


def test_it_ends_early_where_no_film_is_within_reach():
    search = started(threshold=1e3)
    search.run(60)
    assert search.ended == ENOUGH
    assert len([one for one in search.tried if one.recipe is not None]) == 1
    assert search.report()["holds"] is True


def test_it_says_that_nothing_holds(monkeypatch):
    monkeypatch.setattr(search_module, "UNDECIDED", 0.0)
    search = started()
    search.run(60)
    report = search.report()
    assert (report["holds"], report["ended"]) == (False, "every step was tried")
    assert "reach" in report["verdict"] or "flips" in report["verdict"]


def test_it_ends_at_its_time_and_says_so():
    search = started()
    search.run(1e-6)
    assert search.ended == "its time was over"
    assert len([one for one in search.tried if one.recipe is not None]) == 1


def test_it_says_how_far_it_is_after_each_candidate(monkeypatch):
    said = []
    monkeypatch.setattr(search_module, "report_progress", said.append)
    search = started()
    search.run(60)
    assert said[0] == "32 films set ranges, the 32 nearest of 32 others rank"
    tried = [one for one in search.tried if one.recipe is not None]
    assert [int(line.split()[0]) for line in said[1:]] == list(range(2, len(tried) + 1))
    assert f"the best moves decisions near the threshold by {search.chosen.near:.2g}" in said[-1]


def test_a_candidate_beyond_a_limit_is_named_and_not_chosen():
    search = started()
    search.tried = [
        Trial("near", Recipe(), near=0.1, flips=0, refused="0.50 x the latency of float32, allowed 0.40"),
        Trial("far", Recipe(equalized=0.0), near=0.4, flips=0),
    ]
    assert search.chosen.words == "far"
    search.tried[1].refused = "0.31 x the size of float32, allowed 0.30"
    assert search.chosen.words == "near"
    assert "no candidate holds every limit" in search.report()["verdict"]


def test_where_a_processor_is_slow_at_int8_no_file_beyond_the_size_is_written(monkeypatch):
    monkeypatch.setattr(search_module, "SIZE", 0.30)
    search = started()
    slow = "0.92 x the latency of float32, allowed 0.40"
    search.tried = [
        Trial("small", Recipe(), near=0.2, flips=0, size=0.26, refused=slow),
        Trial("large", Recipe(), near=0.1, flips=0, size=0.31, refused=f"0.31 x the size of float32; {slow}"),
    ]
    assert search.chosen.words == "small"
    search.tried[0].size = 0.32
    assert search.chosen.words == "large"


def test_a_candidate_beyond_both_limits_has_both_named(monkeypatch):
    monkeypatch.setattr(search_module, "SIZE", 0.01)
    monkeypatch.setattr(search_module, "LATENCY", 0.1)
    search = started()
    search.run(1e-6)
    found = re.fullmatch(r"(.+) x the size of float32, allowed 0.01; (.+)", search.chosen.refused)
    assert found[2] == "0.20 x the latency of float32, allowed 0.10"


def test_of_candidates_that_are_alike_the_one_with_fewer_flips_is_chosen():
    search = started()
    search.tried = [
        Trial(name, Recipe(), near=near, flips=flips)
        for name, near, flips in (("a", 1.0, 2), ("b", 1.04, 1), ("c", 1.2, 0))
    ]
    assert search.chosen.words == "b"


def test_films_near_the_threshold_count_most():
    away = np.concatenate([np.full(40, 0.1), np.full(200, 5.0)])
    reference = np.stack([-away / 2, away / 2], axis=1)
    moved = {"near": np.where(away < 1, 0.05, 0.0), "far": np.where(away < 1, 0.0, 0.5)}
    ranking = Ranking(Decisions.at(0.0), reference)
    found = {}
    for name, by in moved.items():
        found[name] = Trial(name, Recipe())
        ranking.judge(found[name], (reference + np.stack([by / 2, -by / 2], axis=1))[ranking.near])
    assert found["near"].near == pytest.approx(0.05, rel=0.05)
    assert found["far"].near < 0.01
    assert nearness(away) < 1.0


def test_films_in_part_are_spread_over_all_of_them():
    order = spread(np.arange(100))
    assert sorted(order) == list(range(100))
    assert max(np.diff(sorted(order[:10]))) < 20


def test_films_near_the_threshold_come_first_and_count_most_where_biases_are_shifted():
    search = started()
    quantizer = search._quantizer(np.arange(64))
    assert sorted(map(bytes, quantizer.films)) == sorted(map(bytes, search.films))
    away = search.decisions.distances(search.network.answers(search.network.float32, quantizer.films))[:, 0]
    assert away[0] == away.min()
    assert np.median(away[:32]) < np.median(away[32:])
    assert (np.diff(quantizer._weights[np.argsort(away)]) <= 0).all()


def test_the_bell_is_as_wide_as_32_films_ask_for_or_half_of_few():
    away = np.abs(np.random.default_rng(0).normal(size=1000)) * 7
    assert np.exp(-np.square(away / nearness(away)) / 2).sum() == pytest.approx(32)
    assert np.exp(-np.square(away[:20] / nearness(away[:20])) / 2).sum() == pytest.approx(10)
    assert nearness(np.zeros(3)) == 1.0


def test_every_task_is_ranked_by_its_own_decisions():
    draw = np.random.default_rng(3)
    reference = draw.normal(size=(100, 4))
    for decided in (Decisions("one-of-n"), Decisions("multi-label", (0.5,) * 4), Decisions("score")):
        one, ranking = Trial("", Recipe()), Ranking(decided, reference)
        ranking.judge(one, (reference + draw.normal(size=reference.shape) * 1e-3)[ranking.near])
        assert 3e-4 < one.near < 4e-3
        other = Trial("", Recipe())
        ranking.judge(other, -reference[ranking.near])
        assert other.near > one.near
        assert (other.flips > 50) == (decided.task != "score")


def test_an_answer_that_is_no_number_is_refused():
    one, reference = Trial("", Recipe()), np.zeros((4, 2))
    Ranking(Decisions.at(0.0), reference).judge(one, np.full((4, 2), np.nan))
    assert "NaN" in one.refused
