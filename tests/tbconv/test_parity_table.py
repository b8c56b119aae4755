"""What the table on the terminal says below itself: no number of its own, and nothing about rows that are not there."""

import pytest

from tbconv.commands.conversion.parity_table import print_parity

FIGURES = {
    "samples": 40,
    "problem": None,
    "max_abs_logits": 1e-6,
    "max_abs_probability": 1e-7,
    "identity": 1e-6,
    "sqnr_db": 120.0,
    "flips": 0,
}


def row(name, samples, *, sampled=False, group="compared", auroc=None):
    figures = FIGURES | {"samples": samples}
    return {
        "name": name,
        "group": group,
        "network": "trained",
        "verdict": None,
        "films": figures,
        "golden": figures,
        "flips_at_most": 0.1,
        "auroc": auroc,
        "float64_distance": None,
        "decisions": None,
        "near_threshold": None,
        "sampled": sampled,
    }


@pytest.fixture
def said(capsys):
    """Return a function that prints a report of these rows over 40 films, and returns the text."""

    def call(*rows, identity=1e-4):
        tolerance = {"noise": 1e-6, "rounding_step": 2e-6, "logits": 2e-5, "identity": identity}
        report = {
            "inputs": {"description": "40 films", "films": 40},
            "tolerances": {"trained": tolerance},
            "float64_db": {"allowed": 6.0, "judged": False},
            "float16": [],
            "rows": list(rows),
        }
        print_parity(report)
        return capsys.readouterr().out

    return call


def test_a_sample_is_explained_where_a_row_has_one_and_by_its_size(said):
    assert "a row with `of 24` was run on a sample" in said(row("a", 40), row("b", 24, sampled=True))


@pytest.mark.parametrize("sampled", [False, True])
def test_a_sample_is_not_spoken_of_where_every_row_answered_all_films(said, sampled):
    assert "sample" not in said(row("a", 40), row("b", 40, sampled=sampled))


def test_identity_and_tolerance_are_those_of_the_report_and_the_larger_of_two_is_shown(said):
    text = said(row("a", 40), identity=3e-5)
    assert "at most 3e-05" in text
    assert "one float32 step of what the margin is summed from 2.0e-06" in text
    assert "(or than one float32 rounding step of what the margin is summed from, where that is larger)" in text


def test_the_auroc_that_losses_are_taken_from_is_pytorchs(said):
    auroc = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}
    text = said(row("PyTorch float32 (trained)", 40, group="reference", auroc=auroc), row("b", 40, auroc=auroc))
    assert text.count("AUROC 0.90 (0.80-0.95)") == 1
