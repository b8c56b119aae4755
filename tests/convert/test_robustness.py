"""The suite of harmless changes: what each does to a film, and how flips are counted."""

import io

import numpy as np
import pytest
from PIL import Image

from convert.certificate.robustness.changes import CHANGES
from convert.certificate.robustness.report import card_lines, cells, robustness_page
from convert.certificate.robustness.suite import (
    Reading,
    RobustnessConfig,
    _require_same_split,
    _unseen,
    measure,
)
from convert.parity.inputs import digest_of
from tbconv.contract.errors import ConfigError, Silence
from tbconv.contract.xray import decode_xray


class Said(Silence):
    """A reporter that keeps its lines."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


BY_NAME = {change.name: change for change in CHANGES}


@pytest.fixture(scope="module")
def film():
    rows, columns = np.mgrid[:260, :224]
    return (60 + 90 * (np.sin(rows / 31) * np.cos(columns / 23) > 0) + columns // 4).astype(np.uint8)


def test_there_are_at_least_fifteen_harmless_changes_and_mirrored_is_none():
    assert sum(change.harmless for change in CHANGES) >= 15
    assert [change.name for change in CHANGES if not change.harmless] == ["mirrored"]
    assert len(BY_NAME) == len(CHANGES)


@pytest.mark.parametrize("name", [change.name for change in CHANGES])
def test_each_change_gives_a_film_that_opens_and_differs_and_is_the_same_again(film, name):
    data = BY_NAME[name].apply(film)
    changed = decode_xray(data)
    assert min(changed.shape) >= 100
    assert data == BY_NAME[name].apply(film.copy())
    if name != "bits_12":  # 12 bits hold all of 8
        assert changed.shape != film.shape or (changed != film).any()


def test_changes_do_what_they_are_called(film):
    seen = {name: decode_xray(change.apply(film)).astype(float) for name, change in BY_NAME.items()}
    mean, std = film.mean(), film.std()
    assert seen["gamma_up"].mean() > mean > seen["gamma_down"].mean()
    assert seen["brighter"].mean() - mean == pytest.approx(30, abs=1)
    assert seen["contrast_low"].std() == pytest.approx(std / 2, rel=0.02)
    assert seen["contrast_high"].std() == pytest.approx(std * 1.5, rel=0.1)
    assert seen["white_border"].shape == (260 + 52, 224 + 44)
    assert (seen["white_border"][0] == 255).all()
    assert (seen["black_border"][:, 0] == 0).all()
    assert np.array_equal(seen["mirrored"], film[:, ::-1])
    assert seen["resolution"].shape == (130, 112)
    assert len(np.unique(seen["greys_32"])) <= 32
    assert seen["zoom"].shape == (234, 202)
    assert Image.open(io.BytesIO(BY_NAME["jpeg_25"].apply(film))).format == "JPEG"


class Scripted:
    """Answers files in a written order."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.facts = {"name": "drawn", "artefact": "none", "threshold": 0.0, "has_reference": True}

    def read(self, files):
        found = self.answers.pop(0)
        assert len(found) == len(files)
        return found


def _reading(decision, margin=0.0, limits=()):
    return Reading(decision, margin, tuple(limits))


def test_flips_are_counted_by_direction_and_those_without_a_limit_apart(film):
    before = [_reading("refer", 1), _reading("not_flagged", -1), _reading("refer", 2), _reading("indeterminate")]
    before += [_reading("not_flagged", -2), _reading("refused", float("nan")), _reading("refer", 3, ["unlike"])]
    after = [_reading("not_flagged", -1), _reading("refer", 1, ["unlike"]), _reading("indeterminate", 0.1)]
    after += [_reading("refer"), _reading("refused", float("nan")), _reading("refer"), _reading("refer", 3.5)]
    record = measure(Scripted(before, after), [film] * 7, Silence(), CHANGES[:1])
    [row] = record["changes"]
    assert row["n"] == 5  # neither the indeterminate nor the refused one can flip
    directions = ("refer_to_not_flagged", "not_flagged_to_refer", "to_indeterminate", "to_refused")
    assert [row[name] for name in directions] == [1, 1, 1, 1]
    assert (row["flips"]["value"], row["flips"]["n"]) == (0.8, 5)
    assert row["flips_without_limit"] == 1
    assert row["largest_move"] == 2.0
    unchanged = record["unchanged"]
    assert [unchanged[name] for name in ("n", "refer", "not_flagged", "indeterminate", "refused")] == [7, 3, 2, 1, 1]
    assert unchanged["with_limit"]["value"] == pytest.approx(2 / 6)  # an indeterminate one counts


def test_page_card_and_table_show_the_same_figures(film):
    answers = [[_reading("refer", 1)] * 4, [_reading("not_flagged", -1)] * 4]
    record = measure(Scripted(*answers), [film] * 4, Silence(), CHANGES[:1])
    record |= {"films": "drawn films", "disclaimer": "Not for diagnosis."}
    row = cells(record["changes"][0])
    assert row == ["gamma_up", "4", "4", "0", "0", "100.0 % (39.8 to 100.0)", "4"]
    card, page = "\n".join(card_lines(record)), robustness_page(record)
    assert f"| `gamma_up` | {' | '.join(row[1:])} |" in card
    for cell in row:
        assert cell in page
    assert "4 of 4 decisions changed by 1 harmless changes, 4 of them without a limit" in card


def test_what_is_neither_run_nor_bundle_is_refused_and_a_bundle_needs_films(tmp_path):
    with pytest.raises(ConfigError, match="neither a run nor a bundle"):
        RobustnessConfig(target=tmp_path, out=tmp_path / "out")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="no films to change"):
        RobustnessConfig(target=tmp_path, out=tmp_path / "out")


@pytest.mark.parametrize("known", ["pixels", "file"])
def test_films_that_were_trained_on_are_not_measured_by_whatever_the_split_knows_them(tmp_path, film, known):
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(film + np.uint8(number)).save(paths[-1])
    trained = frozenset(digest_of(path.read_bytes(), known) for path in paths[:2])
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = Said()
    films = list(_unseen([*paths, tmp_path / "damaged.png"], trained, known, 9, said))
    assert [one[0, 0] - film[0, 0] for one in films] == [2, 3]
    assert any("damaged.png" in line for line in said.lines)


def test_films_that_another_run_kept_are_refused(tmp_path):
    for name, digest in (("bundle", "1"), ("run", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ("manifest.json" if name == "bundle" else "run.json")).write_text("{}")
        (tmp_path / name / "split.json").write_text(f'{{"digest": "{digest}"}}')
    config = RobustnessConfig(target=tmp_path / "bundle", run=tmp_path / "run", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="is not the run of"):
        _require_same_split(config)
