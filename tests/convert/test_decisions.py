"""What each task decides, how far films are from it, and what proposes the task."""

import numpy as np
import pytest

from convert.parity.decisions import NEAREST, Decisions, choose_decisions, read_thresholds
from tbconv.contract.errors import ConfigError
from tbconv.contract.statistics import is_positive

CLASSES = np.float32([[3.0, 1.0, 2.5], [0.0, 4.0, 4.0], [-1.0, -2.0, -3.0]])
LABELS = np.float32([[0.9, 0.2], [0.3, 0.5], [0.1, 0.6]])
ONE, MANY = Decisions("one-of-n"), Decisions("multi-label", (0.5, 0.25), ("mass", "hernia"))


def test_of_n_classes_the_largest_decides_and_its_margin_is_to_the_second():
    assert ONE.of(CLASSES).tolist() == [[0], [1], [0]]  # of equals the first
    assert ONE.margins(CLASSES).tolist() == [[0.5], [0.0], [1.0]]
    assert ONE.film_distances(CLASSES).tolist() == [0.5, 0.0, 1.0]


def test_each_label_decides_at_its_own_threshold_and_at_it_is_positive():
    assert MANY.of(LABELS).tolist() == [[1, 0], [0, 1], [0, 1]]
    assert MANY.of(np.float32([[0.5, 0.25]])).tolist() == [[1, 1]]
    assert MANY.margins(LABELS)[0] == pytest.approx([0.4, -0.05])
    assert MANY.film_distances(LABELS) == pytest.approx([0.05, 0.2, 0.35])


def test_a_run_decides_by_the_one_rule_of_the_contract_to_the_last_bit():
    threshold = 0.1  # no float32 number
    margins = np.float32([0.1, np.nextafter(np.float32(0.1), np.float32(0)), -1.0, 2.0])
    decided = Decisions.at(threshold).of(margins)
    assert decided.ravel().tolist() == is_positive(margins, threshold).astype(int).tolist() == [1, 0, 0, 1]
    assert Decisions.at(threshold).sides(margins) == {
        "films on the positive side": 2,
        "films on the negative side": 2,
    }


def test_two_outputs_of_a_binary_network_decide_by_their_difference():
    pair = Decisions("binary", (1.0,))
    assert pair.margins(np.float32([[0.0, 2.0], [1.0, 1.5]])).tolist() == [[1.0], [-0.5]]
    assert (pair.reach(2), pair.reach(1), ONE.reach(3), MANY.reach(2)) == (2.0, 1.0, 2.0, 1.0)


def test_a_score_decides_nothing():
    score = Decisions("score")
    assert score.of(CLASSES).shape == score.margins(CLASSES).shape == (3, 0)
    assert score.film_distances(CLASSES).tolist() == [np.inf] * 3
    assert (score.sides(CLASSES), score.band(CLASSES, CLASSES)) == ({"films": 3}, None)
    assert score.signal_db(np.float32([[1], [3]]), np.float32([[1.1], [3.1]])) == pytest.approx(20.0, abs=1e-4)


@pytest.mark.parametrize("decisions", [ONE, MANY, Decisions("binary", (0.5,)), Decisions.at(0.2)])
def test_a_decision_flips_only_where_the_margin_moved_by_as_much_as_the_file_is_from_it(decisions):
    rng = np.random.default_rng(0)
    shape = {"one-of-n": (400, 4), "multi-label": (400, 2)}.get(decisions.task, (400,))
    first = rng.normal(size=shape).astype(np.float32)
    other = first + rng.normal(0, 0.3, shape).astype(np.float32)
    flips = decisions.flips(first, other)
    assert flips.sum() > 20
    assert (decisions.moved(first, other)[flips] >= decisions.distances(other)[flips]).all()
    assert (decisions.moved(first, other) <= decisions.reach(4) * 2).all()
    band = decisions.band(first, other)
    assert band["samples"] == flips.size
    assert band["rests_on"] >= NEAREST
    assert not flips[decisions.distances(other) > band["half_width"]].any()


def test_a_film_keeps_its_decisions_while_no_output_moves_further_than_its_distance_over_reach():
    rng = np.random.default_rng(2)
    for decisions, shape in ((ONE, (300, 5)), (MANY, (300, 2))):
        answer = rng.normal(size=shape)
        safe = decisions.film_distances(answer) / decisions.reach(shape[1])
        moved = answer + 0.999 * safe[:, None] * rng.choice([-1.0, 1.0], shape)
        assert not decisions.flips(answer, moved).any()


def test_sides_are_named_and_of_n_classes_all_but_the_one_in_front_count():
    assert MANY.sides(LABELS) == {
        "films on the positive side of mass": 1,
        "films on the negative side of mass": 2,
        "films on the positive side of hernia": 2,
        "films on the negative side of hernia": 1,
    }
    assert ONE.sides(CLASSES) == {"films of another class than class 0": 1}


def test_what_all_films_share_adds_no_signal():
    offset = np.float32([[100.0, 99.0], [100.0, 101.0]])
    assert ONE.signal_db(offset, offset + np.float32([[0.1, 0.0], [0.0, 0.1]])) == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize("words", [("multi-label",), ("binary", (1.0, 2.0)), ("one-of-n", (1.0,)), ("three", ())])
def test_thresholds_that_do_not_fit_the_task_are_refused(words):
    with pytest.raises(ValueError, match="with the thresholds"):
        Decisions(*words)


# --- choose ---

SPREAD = np.float32([[-1.0], [2.0]])
WIDE = np.float32([[0.9, 0.2, 0.4], [0.3, 0.5, 0.4]])


def chosen(answer, last_op="", **options):
    return choose_decisions({"y": answer}, {"y": last_op}, **options)["y"]


@pytest.mark.parametrize(
    ("answer", "last_op", "task", "thresholds"),
    [
        (WIDE, "Softmax", "one-of-n", ()),
        (WIDE, "Sigmoid", "multi-label", (0.5, 0.5, 0.5)),
        (WIDE, "Gemm", "one-of-n", ()),
        (WIDE[:, :1], "Sigmoid", "binary", (0.5,)),
        (WIDE[:, :1], "Gemm", "binary", (0.5,)),
        (SPREAD, "Gemm", "binary", (0.0,)),
        (SPREAD + 40, "Gemm", "score", ()),
    ],
)
def test_the_last_operation_proposes_the_task(answer, last_op, task, thresholds):
    found = chosen(answer, last_op)
    assert (found.task, found.thresholds) == (task, thresholds)
    assert found.origin


def test_the_command_line_decides_and_labels_without_a_threshold_are_said():
    found = chosen(WIDE, "Softmax", task="multi-label", thresholds={"b": 0.3}, labels=("a", "b", "c"))
    assert (found.task, found.thresholds, found.names) == ("multi-label", (0.5, 0.3, 0.5), ("a", "b", "c"))
    assert str(found) == ("multi-label, 3 labels, each from 0.3 to 0.5 up (--task; 2 of 3 at 0.5 since none is given)")


def test_thresholds_alone_mean_several_labels_and_name_them_in_their_order():
    found = chosen(WIDE, "Gemm", thresholds={"c": 0.1, "a": 0.2, "b": 0.3})
    assert (found.task, found.thresholds, found.names) == ("multi-label", (0.1, 0.2, 0.3), ("c", "a", "b"))


def test_logits_of_several_labels_decide_at_zero():
    assert chosen(np.float32([[-2.0, 3.0], [1.0, -1.0]]), "Gemm", task="multi-label").thresholds == (0.0, 0.0)


def test_outputs_that_the_task_does_not_fit_keep_their_proposal():
    found = choose_decisions({"y": WIDE, "age": SPREAD + 40}, {"y": "Softmax"}, task="one-of-n")
    assert (found["y"].task, found["age"].task) == ("one-of-n", "score")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "ranking"}, "--task ranking is unknown"),
        ({"task": "binary"}, "--task binary fits no output"),
        ({"thresholds": {"a": 0.1, "b": 0.2}}, "--thresholds fits no output"),
        ({"task": "score", "thresholds": {"a": 0.1}}, "--thresholds with --task score"),
    ],
)
def test_what_fits_no_output_is_refused(options, words):
    with pytest.raises(ConfigError) as refused:
        chosen(WIDE, "Sigmoid", **options)
    assert words in refused.value.what


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '{"mass": 0.3, "hernia": 0.25}'),
        ("t.csv", "label,threshold\nmass,0.3\nhernia, 0.25\n"),
        ("t.csv", "mass,0.3\n\nhernia,0.25\n"),
    ],
)
def test_thresholds_are_read_from_json_and_csv(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert list(read_thresholds(tmp_path / name).items()) == [("mass", 0.3), ("hernia", 0.25)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", "[0.3]"),
        ("t.json", '{"mass": 0.3, "mass": 0.4}'),
        ("t.json", '{"mass": "high"}'),
        ("t.csv", "mass,0.3,0.4\n"),
        ("t.csv", "mass,nan\n"),
        ("t.csv", ""),
    ],
)
def test_a_file_that_is_no_list_of_thresholds_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match="--thresholds") as refused:
        read_thresholds(tmp_path / name)
    assert "label,threshold" in refused.value.fix
