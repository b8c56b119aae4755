import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tbconv.contract.errors import ConfigError
from tbconv.family import VARIABLE
from torch_train.data import index
from torch_train.data.index import read_index

KERMANY = r"(person\d+)_|((?:NORMAL2-)?IM-\d+)-"


def read_patients(root, write_film, expression, *names):
    for number, name in enumerate(names):
        write_film(root / "NORMAL" / name, number)
    write_film(root / "PNEUMONIA/person9_virus_1.png", 99)
    found = read_index(root, patient=expression)
    return {film.path.name: film.patient for film in found.films}, found


def test_films_of_one_person_share_a_key_whatever_the_germ(tmp_path, write_film):
    names = ("person9_bacteria_1.png", "person19_virus_1.png", "IM-0115-0001.png", "IM-0115-0002.png")
    patients, _ = read_patients(tmp_path, write_film, KERMANY, *names)
    assert patients["person9_bacteria_1.png"] == patients["person9_virus_1.png"]
    assert patients["IM-0115-0001.png"] == patients["IM-0115-0002.png"]
    assert len(set(patients.values())) == 3


def test_studies_of_two_series_stay_apart_where_the_group_holds_the_series(tmp_path, write_film):
    patients, _ = read_patients(tmp_path, write_film, KERMANY, "IM-1427-0001.png", "NORMAL2-IM-1427-0001.png")
    assert patients["IM-1427-0001.png"] != patients["NORMAL2-IM-1427-0001.png"]


def test_equal_numbers_of_two_alternatives_are_two_patients(tmp_path, write_film):
    patients, _ = read_patients(tmp_path, write_film, r"person(\d+)_|IM-(\d+)-", "IM-9-0001.png")
    assert patients["IM-9-0001.png"] != patients["person9_virus_1.png"]


def test_a_film_that_does_not_match_is_a_patient_and_is_counted(tmp_path, write_film):
    patients, index = read_patients(tmp_path, write_film, r"person(\d+)_", "other.png", "person9_virus_2.png")
    assert patients["other.png"] == "NORMAL/other.png"
    assert patients["person9_virus_2.png"] == "9"
    assert any(note.startswith("1 of 3 file names do not match") for note in index.notes)


def test_an_expression_without_a_group_takes_the_whole_match(tmp_path, write_film):
    patients, _ = read_patients(tmp_path, write_film, r"person\d+", "person9_virus_2.png")
    assert set(patients.values()) == {"person9"}


def test_without_an_expression_a_film_is_a_patient_and_the_index_says_so(class_folders):
    index = read_index(class_folders)
    assert len({film.patient for film in index.films}) == 10
    assert not index.patients_known
    assert any("patients are not known" in note for note in index.notes)


@pytest.mark.parametrize("expression", ["person(", "nobody_(x)"])
def test_an_expression_that_is_none_or_matches_nothing_is_a_wrong_option(class_folders, expression):
    with pytest.raises(ConfigError) as caught:
        read_index(class_folders, patient=expression)
    assert repr(expression) in caught.value.what


@pytest.mark.parametrize("expression", [r"^(a|aa)+$", r"^(a+)+$", r"((a*)*)*b"])
def test_an_expression_that_takes_too_long_is_an_expected_error(expression, monkeypatch):
    monkeypatch.setattr(index, "PATTERN_S", 2)
    with pytest.raises(ConfigError, match="takes too long") as caught:
        index.find_patients(expression, ["a" * 60 + ".png"])
    assert "2 s or 1024 MB on 1 file names" in caught.value.why


def test_an_expression_that_takes_too_long_ends_though_nobody_waits_for_it(tmp_path):
    """By its own limit, and at once with the command, however that ends."""
    code = "from torch_train.data import index; index.PATTERN_S = {}; index.find_patients(r'^(a+)+$', ['a' * 60 + '!'])"
    for seconds, signals in ((2, ()), (600, (signal.SIGKILL,))):
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        with subprocess.Popen(
            [sys.executable, "-c", code.format(seconds)], env=environment, stderr=subprocess.DEVNULL
        ) as command:
            try:
                wait_for(lambda: busy(command.pid))
                [child] = busy(command.pid)
                if not signals:
                    os.kill(command.pid, signal.SIGSTOP)  # it cannot end the child
                for one in signals:
                    command.send_signal(one)
                wait_for(lambda: state_of(child) in "ZX")  # noqa: B023
            finally:
                command.kill()  # one that is stopped would be waited for without end


def busy(pid):
    """Return the children of a process that match an expression."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [one for one in children if b"pattern" in Path(f"/proc/{one}/cmdline").read_bytes()]
    except OSError:
        return []


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_expression_is_matched_where_limits_are_lower_already():
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (900 << 20,) * 2)\n"
    code += r"from torch_train.data import index; print(index.find_patients(r'p(\d)_', ['p7_.png']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "['7']\n", done.stderr


@pytest.mark.parametrize("expression", ["(" * 5000 + ")" * 5000, "(", "a{99999999999}", "(?P<a>x)(?P<a>y)"])
def test_an_expression_that_cannot_be_compiled_is_an_expected_error(tmp_path, write_film, expression):
    with pytest.raises(ConfigError, match="is not a valid regular expression"):
        read_patients(tmp_path, write_film, expression, "a.png")


def test_named_groups_lookarounds_and_references_mean_what_they_mean_to_python():
    names = ["p7_x.png", "p7_x.png\n", "é9_.png", "\udcff5_.png", "55_.png"]
    assert index.find_patients(r"(?P<who>\d)_", names) == ["7", "7", "9", "5", "5"]
    assert index.find_patients(r"(?<=p)\d", names) == ["7", "7", None, None, None]
    assert index.find_patients(r"(\d)\1|(?i:(É))", names) == [None, None, "2:é", None, "1:5"]
