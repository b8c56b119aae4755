"""The first bad node of graphs drawn by hand: order, budgets, what is fused, ReLU patterns, and NaN."""

import math

import numpy as np
import pytest

from convert.layerwise.compare import levels_of, sum_films
from convert.layerwise.graph import INPUT, FileOperation, LayerGraph, Match, misfits
from convert.layerwise.noise import Budget, Level, Sums, find_first, level_of

BUDGET = Budget(floor_db=50.0, drop_db=20.0, ceiling_db=90.0)


def chain(*names):
    sources = [INPUT, *names[:-1]]
    return LayerGraph(tuple(FileOperation(n, "Relu", (s,), (4, 2)) for n, s in zip(names, sources, strict=True)))


def levels(**values):
    return {name: Level(value) for name, value in values.items()}


def test_the_first_node_below_the_floor_is_named_and_not_the_worst():
    found = find_first(chain("a", "b", "c"), levels(a=90.0, b=40.0, c=10.0), {}, Budget(50.0, 500.0, 500.0))
    assert (found.node, found.level_db, found.before_db) == ("b", 40.0, 90.0)


def test_a_drop_is_bad_though_the_floor_is_kept_and_nothing_above_the_ceiling_counts():
    assert find_first(chain("a", "b"), levels(a=math.inf, b=71.0), {}, BUDGET) is None
    assert find_first(chain("a", "b"), levels(a=math.inf, b=69.0), {}, BUDGET).node == "b"


def test_where_rounding_alone_moves_a_node_its_floor_is_lower_by_as_much():
    quiet, graph = Budget(50.0, 500.0, 500.0, quiet_db=100.0), chain("a", "b")
    seen = levels(a=90.0, b=45.0)
    assert [quiet.floor_at(noise) for noise in (math.inf, 100.0, 94.0)] == [50.0, 50.0, 44.0]
    assert find_first(graph, seen, {}, quiet, {"a": 80.0}).node == "b"
    assert find_first(graph, seen, {}, quiet, {"b": 96.0}).node == "b"
    assert find_first(graph, seen, {}, quiet, {"b": 94.0}) is None
    assert find_first(graph, levels(a=90.0, b=math.nan), {}, quiet, {"b": 0.0}).node == "b"


def test_nan_is_bad_and_what_was_not_seen_before_it_may_be_the_cause():
    found = find_first(chain("a", "b", "c", "d"), levels(a=90.0, d=math.nan), {}, BUDGET)
    assert (found.node, found.one_of) == ("d", ("b", "c", "d"))


def test_a_rescaled_node_is_in_question_too_but_nothing_behind_the_next_one():
    seen = {"b": Level(80.0, rescaled=True), "d": Level(80.0, rescaled=True), "e": Level(30.0)}
    assert find_first(chain("a", "b", "c", "d", "e"), seen, {}, BUDGET).one_of == ("c", "d", "e")


def test_another_shape_is_bad_without_a_number():
    found = find_first(chain("a", "b"), levels(a=90.0), {"b": (9, 2)}, BUDGET)
    assert (found.node, math.isnan(found.level_db)) == ("b", True)


def test_one_wrong_channel_of_many_is_not_drowned():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 1000)).astype(np.float32)
    given = reference.copy()
    given[:, 3] *= 1.5
    level = level_of(Sums.none(1000).add(reference, given), precision="float32", before_bias=False)
    assert 5 < level.db < 7  # 20 log10(1 / 0.5)


@pytest.mark.parametrize(("scales", "rescaled"), [((1.5, 4.0), True), ((3.0, 3.0), False)])
def test_int8_is_excused_for_uneven_scales_alone(scales, rescaled):
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(200, 16)).astype(np.float32)
    given = (reference * np.linspace(*scales, 16)).astype(np.float32)
    sums = Sums.none(16).add(reference, given)
    found = level_of(sums, precision="int8", before_bias=False)
    assert found.rescaled is rescaled
    assert (found.db > 100) is rescaled
    assert level_of(sums, precision="float16", before_bias=False).db < 0


@pytest.mark.parametrize(
    ("factors", "rescaled"),
    [((2.0,), True), ((2.0, 0.5, 4.0), True), ((1.3,), False), ((-1.0,), False), ((1.3,) * 10, False)],
)
def test_int8_is_excused_for_few_channels_that_an_equalization_moved_by_powers_of_two(factors, rescaled):
    rng = np.random.default_rng(2)
    reference = rng.normal(size=(400, 64)).astype(np.float32)
    given = reference + 0.05 * rng.normal(size=reference.shape).astype(np.float32)
    given[:, : len(factors)] *= np.array(factors, np.float32)
    sums = Sums.none(64).add(reference, given)
    found = level_of(sums, precision="int8", before_bias=False)
    assert found.rescaled is rescaled
    assert (found.db > 20) is rescaled
    assert level_of(sums, precision="dynamic", before_bias=False).db < 20


class Fixed:
    """A file whose tensors are fixed for each film."""

    def __init__(self, answers):
        self.answers = answers

    def run(self, model_input):
        return self.answers[int(model_input[0, 0])]


def measured(graph, matches, reader, films):
    sums = sum_films(graph, matches, reader, films, same_patterns=True)
    return levels_of(matches, sums, "float32")


def test_a_film_whose_relu_pattern_flipped_does_not_count_behind_it():
    graph = LayerGraph(
        (
            FileOperation("pre", "Gemm", (INPUT,), (1, 2)),
            FileOperation("lock", "Greater", ("pre",), (1, 2)),
            FileOperation("map", "Mul", ("pre", "lock"), (1, 2)),
        )
    )
    assert graph.relu_patterns()["map"] == {"pre"}
    right = {"pre": np.float32([[1e-9, 1.0]]), "lock": np.float32([[1, 1]]), "map": np.float32([[5, 5]])}
    jumped = {"pre": np.float32([[-1e-9, 1.0]]), "lock": np.float32([[0, 1]]), "map": np.float32([[0, 5]])}
    wrong = right | {"map": np.float32([[5, 4]])}
    matches = [Match(name, name, "name", before_bias=False, agreement=1.0) for name in right]
    model_inputs = np.stack([np.full((224, 224), i, np.uint8) for i in range(2)])

    def seen(*answers):
        return measured(graph, matches, Fixed(answers), zip(model_inputs, [right, right], strict=True))

    assert seen(right, jumped)["map"].db == math.inf
    assert seen(jumped, jumped).keys() == {"pre"}
    assert seen(right, wrong)["map"].db < 30


def test_nan_behind_a_flipped_relu_pattern_is_seen_all_the_same():
    graph = chain("a", "b")
    right = {name: np.ones((4, 2), np.float32) for name in ("a", "b")}
    faulty = right | {"b": np.full((4, 2), np.nan, np.float32)}
    matches = [Match(name, name, "name", before_bias=False, agreement=1.0) for name in right]
    found = measured(graph, matches, Fixed([faulty]), [(np.zeros((224, 224), np.uint8), right)])
    assert math.isnan(found["b"].db)


def test_a_layer_of_a_nodes_name_but_another_shape_is_a_misfit():
    graph = chain("body.a", "body.b")
    file = LayerGraph((FileOperation("0", "Conv2D", (), (16, 2), names=("tbconv_1/body.b_1/convolution",)),))
    assert misfits(graph, file, []) == {"body.b": (16, 2)}
