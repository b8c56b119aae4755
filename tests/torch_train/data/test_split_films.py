import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tbconv.contract.errors import ConfigError, DataError
from tbconv.contract.manifest import Labels
from torch_train.data.records import Film, FilmIndex
from torch_train.data.split import split_films


def an_index(labels, patients=None, root=Path("films")):
    patients = patients or [str(number) for number in range(len(labels))]
    pairs = enumerate(zip(labels, patients, strict=True))
    films = (Film(root / f"{n}.png", label, patient) for n, (label, patient) in pairs)
    return FilmIndex(root, "drawn", Labels("no", "yes"), tuple(films), patients_known=True)


def digests_of(count):
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def split(index, seed=0, groups=(), **options):
    return split_films(index, groups=groups, digests=digests_of(len(index.films)), seed=seed, **options)


@pytest.mark.parametrize("seed", range(5))
def test_104_films_of_two_equal_classes_become_73_21_10_with_both_classes_balanced(seed):
    index = an_index([0, 1] * 52)
    parts = split(index, seed).parts
    assert [len(part) for part in parts.values()] == [73, 21, 10]
    assert all(abs(2 * sum(index.films[film].label for film in part) - len(part)) <= 1 for part in parts.values())


def test_every_film_is_in_one_part():
    parts = split(an_index([0, 1] * 30)).parts
    assert sorted(film for part in parts.values() for film in part) == list(range(60))


def test_a_patient_and_all_copies_stay_on_one_side():
    patients = [str(number // 3) for number in range(120)]
    index = an_index([n // 3 % 2 for n in range(120)], patients)
    groups = [(0, 100), (4, 50, 90)]  # copies join patients
    side = {film: name for name, part in split(index, groups=groups).parts.items() for film in part}
    assert all(side[film] == side[3 * (film // 3)] for film in range(120))
    assert all(len({side[film] for film in group}) == 1 for group in groups)


def test_equal_digests_stay_on_one_side_though_no_group_says_so():
    digests = digests_of(40)
    digests[0] = digests[39]
    parts = split_films(an_index([0, 1] * 20), groups=(), digests=digests, seed=3).parts.values()
    assert any({0, 39} <= set(part) for part in parts)


def test_the_digest_knows_neither_order_nor_folder():
    labels = [0, 1] * 25
    there, digests = an_index(labels, root=Path("elsewhere")), digests_of(50)
    back = FilmIndex(there.root, "drawn", there.labels, there.films[::-1], patients_known=True)
    assert split(an_index(labels)).digest == split_films(back, groups=(), digests=digests[::-1], seed=0).digest


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    index = an_index([0, 1] * 25)
    assert split(index, 1) == split(index, 1)
    assert split(index, 1).digest != split(index, 2).digest


def test_the_digest_is_pinned_so_that_no_release_moves_a_film_unnoticed():
    assert split(an_index([0, 1] * 25), 7).digest.startswith("f1515cf7b62c3f6c")


def test_a_rare_class_reaches_every_part():
    index = an_index([1] * 3 + [0] * 60)
    assert all(sum(index.films[film].label for film in part) == 1 for part in split(index).parts.values())


def test_too_few_patients_for_three_parts_are_refused():
    with pytest.raises(DataError, match="no yes film") as caught:
        split(an_index([1, 1, 1, 0, 0, 0, 0], ["a", "a", "b", "c", "d", "e", "f"]))
    assert caught.value.why.startswith("2 patients")


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (0.8, 0.2, 0.0), (1.2, -0.1, -0.1)])
def test_fractions_that_are_no_split_are_refused(fractions):
    with pytest.raises(ConfigError):
        split(an_index([0, 1] * 10), fractions=fractions)


def test_patients_of_many_films_do_not_unbalance_the_parts():
    sizes = [30, 20, 12, 9, 7, 5, 4, 3, 2, 2] + [1] * 150
    patients = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    index = an_index([int(patient) % 3 == 0 for patient in patients], patients)
    share = index.count(1) / len(patients)
    for part, fraction in zip(split(index).parts.values(), (0.7, 0.2, 0.1), strict=True):
        assert len(part) == pytest.approx(fraction * len(patients), abs=2)
        assert sum(index.films[film].label for film in part) == pytest.approx(share * len(part), abs=2)


def published(parts, labels=None):
    index = an_index(labels or [number % 2 for number in range(len(parts))])
    films = tuple(replace(film, part=part) for film, part in zip(index.films, parts, strict=True))
    return replace(index, films=films)


def test_a_published_test_part_is_the_test_part_and_nothing_else_is():
    index = published(["train"] * 40 + ["test"] * 10)
    found = split(index)
    assert found.test == tuple(range(40, 50))
    assert sorted(found.train + found.validation) == list(range(40))
    assert "10 films of the set's own test part are the test part" in found.notes[0]


def test_a_published_test_part_of_one_class_is_left_out_and_never_trained_on():
    index = published(["train"] * 40 + ["test"] * 3, [number % 2 for number in range(40)] + [1, 1, 1])
    found = split(index)
    assert set(found.train + found.validation + found.test) == set(range(40))


def test_what_shares_a_patient_with_the_published_test_part_is_left_out_and_said():
    index = published(["train"] * 40 + ["test"] * 4)
    films = tuple(
        replace(film, patient="same") if number in (0, 41) else film for number, film in enumerate(index.films)
    )
    found = split(replace(index, films=films))
    assert 0 not in found.train + found.validation + found.test
    assert any("1 films share a patient" in note for note in found.notes)


def test_a_published_validation_part_is_kept_where_it_is_large_enough():
    large = split(published(["train"] * 40 + ["validation"] * 20))
    assert large.validation == tuple(range(40, 60))
    assert len(large.test) == 5  # of 40, in the ratio 0.7 to 0.1
    small = split(published(["train"] * 40 + ["validation"] * 16))
    assert set(small.validation) != set(range(40, 56))
    assert "drawn anew" in small.notes[0]
