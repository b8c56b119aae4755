from pathlib import Path

import numpy as np
import pytest
from drawn_pools import draw_pool, draw_uneven
from PIL import Image

from tbconv.contract.errors import DataError, Silence
from torch_train.config import TrainConfig
from torch_train.data.split import split_films
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.splits import digest_of_plans, plan_folds, read_pool


def config(seed=0, **options):
    return EvaluateConfig(recipe=TrainConfig(data=Path("films"), out=Path("out"), seed=seed), **options)


def parts_of(plan):
    return {"train": plan.train, "validation": plan.validation, "test": plan.test}


@pytest.mark.parametrize("seed", range(25))
def test_no_patient_and_no_copy_is_on_two_sides_of_any_fold(seed):
    pool = draw_uneven(seed)
    for plan in plan_folds(pool, config(seed, folds=3, repeats=2)):
        for keys in (pool.films.patients, pool.units):
            sides = [set(keys[rows].tolist()) for rows in parts_of(plan).values()]
            assert len(set.union(*sides)) == sum(map(len, sides))
        for copies in pool.copies:
            assert sum(bool(set(copies) & set(rows.tolist())) for rows in parts_of(plan).values()) == 1


@pytest.mark.parametrize("seed", range(25))
def test_every_film_is_tested_once_a_repeat_and_every_part_has_both_classes(seed):
    pool = draw_uneven(seed)
    plans = plan_folds(pool, config(seed, folds=4, repeats=2))
    assert len(plans) == 8
    for repeat in range(2):
        tested = np.concatenate([plan.test for plan in plans if plan.repeat == repeat])
        assert sorted(tested.tolist()) == list(range(len(pool.labels)))
    for plan in plans:
        assert plan.left_out(pool) == 0
        assert all(set(pool.labels[rows].tolist()) == {0, 1} for rows in parts_of(plan).values())
        assert all((np.diff(rows) > 0).all() for rows in parts_of(plan).values())


def test_104_films_of_two_equal_classes_are_cut_evenly():
    pool = draw_pool([0, 1] * 52)
    for plan in plan_folds(pool, config()):
        positives = [int(pool.labels[rows].sum()) for rows in parts_of(plan).values()]
        assert (len(plan.test) in (20, 21, 22), positives[2] in (10, 11)) == (True, True)
        assert len(plan.validation) == pytest.approx(83 / 5, abs=1)
        assert positives[1] == pytest.approx(len(plan.validation) / 2, abs=1)


def test_repeats_cut_differently_and_every_fold_has_its_own_seed():
    plans = plan_folds(draw_pool([0, 1] * 52), config(repeats=5))
    assert len({plan.seed for plan in plans}) == len({plan.key for plan in plans}) == 25
    assert len({tuple(plan.test.tolist()) for plan in plans}) == 25


def test_the_same_seed_cuts_alike_and_another_does_not():
    pool = draw_uneven(1)
    first, again, other = (digest_of_plans(plan_folds(pool, config(seed)), pool) for seed in (0, 0, 1))
    assert (first == again, first == other) == (True, False)


def test_a_repeat_does_not_depend_on_how_many_there_are():
    pool = draw_uneven(2)
    few, many = (plan_folds(pool, config(repeats=repeats)) for repeats in (1, 3))
    assert all(a.test.tolist() == b.test.tolist() and a.seed == b.seed for a, b in zip(few, many, strict=False))


def test_the_order_of_the_files_changes_no_cut():
    from torch_train.data.records import FilmIndex
    from torch_train.evaluation.splits import pool_of

    pool, index = (there := draw_uneven(3)), there.index
    back = FilmIndex(index.root, "drawn", index.labels, index.films[::-1], patients_known=True)
    last = len(index.films) - 1
    turned = pool_of(
        back,
        pool.films.model_inputs,
        pool.films.digests[::-1],
        [[last - film for film in group] for group in pool.copies],
    )
    assert digest_of_plans(plan_folds(pool, config()), pool) == digest_of_plans(plan_folds(turned, config()), turned)


@pytest.mark.parametrize(("positives", "largest"), [(4, 4), (3, 3)])
def test_too_many_folds_are_refused_with_the_largest_number_that_works(positives, largest):
    pool = draw_pool([1] * positives + [0] * 40)
    with pytest.raises(DataError, match="--folds 5 is too many") as caught:
        plan_folds(pool, config(folds=5))
    assert caught.value.why.startswith(f"{positives} patients have a yes film")
    assert caught.value.fix.startswith(f"--folds {largest} is the most")
    assert len(plan_folds(pool, config(folds=largest, repeats=1))) == largest


def test_two_patients_of_a_class_are_too_few_for_any_folds_however_many_films_they_have():
    pool = draw_pool([1] * 12 + [0] * 40, [0] * 6 + [1] * 6 + list(range(2, 42)))
    with pytest.raises(DataError, match="--folds 2 is too many") as caught:
        plan_folds(pool, config(folds=2))
    assert (caught.value.why[:10], caught.value.fix[:16]) == ("2 patients", "add yes patients")


def test_each_site_is_tested_by_a_network_that_saw_none_of_it():
    generator = np.random.default_rng(0)
    sites = generator.choice(["Montgomery", "Shenzhen", "Delhi"], 120).tolist()
    pool = draw_pool(generator.integers(0, 2, 120), sites=sites)
    plans = plan_folds(pool, config(protocol="sites"))
    assert [plan.name for plan in plans] == ["Delhi", "Montgomery", "Shenzhen"]
    for plan in plans:
        assert {sites[film] for film in plan.test} == {plan.name}
        assert plan.name not in {sites[film] for film in (*plan.train, *plan.validation)}
        assert plan.left_out(pool) == 0


def test_films_of_another_site_sit_out_where_their_patient_is_tested():
    labels, sites = [0, 1] * 30, ["a"] * 30 + ["b"] * 30
    patients = [*range(30), 0, 1, *range(32, 60)]  # films 30 and 31, at b, are of patients whom a saw too
    plans = plan_folds(draw_pool(labels, patients, sites=sites), config(protocol="sites"))
    assert [plan.left_out(draw_pool(labels)) for plan in plans] == [2, 2]
    assert not {30, 31} & {*plans[0].train.tolist(), *plans[0].validation.tolist()}


@pytest.mark.parametrize(
    ("labels", "sites", "what"),
    [
        ([0, 1] * 10, ["a"] * 19 + [None], "1 of 20 films have no site"),
        ([0, 1] * 10, ["a"] * 20, "needs films of two sites"),
        ([0, 1] * 9 + [1, 1], ["a"] * 18 + ["b"] * 2, "the site b has no no film"),
        ([0, 1] * 2 + [0, 1] * 9, ["b"] * 2 + ["a"] * 20, "without the site a too few"),
    ],
)
def test_sites_that_cannot_be_left_out_are_refused_in_three_parts(labels, sites, what):
    pool = draw_pool(labels, sites=sites)
    with pytest.raises(DataError, match=what) as caught:
        plan_folds(pool, config(protocol="sites"))
    assert "--protocol folds" in caught.value.fix


def test_the_users_split_is_the_one_that_tbconv_train_makes_with_its_seed():
    pool = draw_uneven(5)
    [first, second] = plan_folds(pool, config(7, protocol="70/20/10", repeats=2))
    split = split_films(pool.index, groups=pool.copies, digests=pool.films.digests, seed=7)
    assert {name: tuple(rows.tolist()) for name, rows in parts_of(first).items()} == split.parts
    assert (first.seed, first.films_of(pool).split_digest) == (7, split.digest)
    assert second.test.tolist() != first.test.tolist()


def test_a_published_test_part_is_in_no_fold_and_is_the_test_part_of_70_20_10(tmp_path):
    for number in range(32):
        part, name = ("test", "train")[number >= 8], ("Normal", "Tuberculosis")[number % 2]
        place = tmp_path / "films" / part / name / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (32, 32), np.uint8)).save(place)
    recipe = TrainConfig(data=tmp_path / "films", out=tmp_path / "out", film_cache=False)
    folds = read_pool(recipe, Silence())
    assert len(folds.labels) == 24
    assert {film.part for film in folds.index.films} == {"train"}
    whole = read_pool(recipe, Silence(), keep_test=True)
    [plan] = plan_folds(whole, EvaluateConfig(recipe=recipe, protocol="70/20/10"))
    assert {whole.index.films[row].part for row in plan.test} == {"test"}
    assert {whole.index.films[row].part for row in (*plan.train, *plan.validation)} == {"train"}
