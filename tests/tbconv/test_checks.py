"""JUnit and Markdown of checks: what a CI server reads, whatever words are in them."""

from xml.etree import ElementTree

import pytest

from tbconv.contract.errors import Referral
from tbconv.report_kit.checks import MOST_SUMMARY, Check, Checks

ODD = "a|b <script>alert(1)</script> [x](http://e.x) @someone #12 \x1b[31m\u202e `c` *d* \ud800 ]]> \x00"
ROWS = (
    Check("digests", "passed"),
    Check("model.onnx", "failed", "logits differ by 1, allowed 1e-5", "FAILED", 1.0, "3 of 16"),
    Check("saved_model", "cannot say", "7 films, 30 needed", "CANNOT SAY"),
    Check("model_int8.tflite", "may not serve", "too few films", "CANNOT SAY"),
    Check("rest", "not run", "digests failed"),
)


def test_junit_counts_failures_errors_and_skips_and_gives_each_its_message():
    root = ElementTree.fromstring(Checks("drawn", ROWS, seconds=1.5).to_junit())
    [suite] = root
    for one in (root, suite):
        counted = {name: one.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
        assert counted == {"tests": "5", "failures": "1", "errors": "1", "skipped": "2", "time": "1.500"}
    kinds = {case.get("name"): [(part.tag, part.get("message")) for part in case] for case in suite.iter("testcase")}
    assert kinds == {
        "digests": [],
        "model.onnx": [("failure", "logits differ by 1, allowed 1e-5")],
        "saved_model": [("error", "7 films, 30 needed")],
        "model_int8.tflite": [("skipped", "too few films")],
        "rest": [("skipped", "digests failed")],
    }


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (ROWS, "FAILED: model.onnx"),
        (ROWS[2:], "CANNOT SAY: these inputs show too little of saved_model"),
        (ROWS[3:4], "every file does as well as its certificate says"),
        ((), "FAILED: nothing was checked"),
    ],
)
def test_the_worst_outcome_decides_and_nothing_checked_is_a_failure(rows, verdict):
    checks = Checks("drawn", rows)
    assert checks.verdict == verdict
    assert verdict.replace("_", r"\_") in checks.to_markdown().splitlines()[0]


def test_the_summary_shows_failures_first():
    lines = [line for line in Checks("drawn", ROWS).to_markdown().splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[1] for line in lines[1:]] == [
        "model.onnx",
        r"saved\_model",
        "rest",
        r"model\_int8.tflite",
        "digests",
    ]
    assert " | FAILED | 1.0e+00 | 3 of 16 | logits differ by 1, allowed 1e-5 |" in lines[1]


def test_no_word_of_others_becomes_markup_a_mention_or_another_row():
    checks = Checks(ODD, (Check(ODD, "failed", ODD),), (ODD,), (ODD,))
    text = checks.to_markdown()
    assert not [mark for mark in ("<script", "\x1b", "\u202e", " [x](", " @someone", " #12", "http://") if mark in text]
    assert [line.count(" | ") for line in text.splitlines() if line.startswith("| ")] == [5, 5]
    root = ElementTree.fromstring(checks.to_junit())
    assert "<script>alert(1)</script>" in root.find(".//testcase").get("name")


def test_both_files_say_what_the_bundles_own_flag_calls_for():
    checks = Checks("drawn", ROWS, words=Referral("a chest CT"))
    assert "a flag calls for a chest CT," in checks.to_markdown()
    assert "a flag calls for a chest CT," in checks.to_junit().decode()


def test_a_summary_is_cut_to_what_github_shows():
    text = Checks("drawn", tuple(Check("x" * 200, "failed", "y" * 3000) for _ in range(500))).to_markdown()
    assert len(text.encode()) <= MOST_SUMMARY
    assert text.endswith("cut: longer than a summary may be\n")


def test_files_are_written_whole_and_their_folders_are_made(tmp_path):
    Checks("drawn", ROWS).write(junit=tmp_path / "a" / "b.xml", summary=tmp_path / "c" / "d.md")
    assert ElementTree.parse(tmp_path / "a" / "b.xml").getroot().tag == "testsuites"
    assert (tmp_path / "c" / "d.md").read_text().startswith("## ")
