import numpy as np
import pytest
from drawn_pools import draw_pool
from sklearn.metrics import roc_auc_score

from torch_train.evaluation.folds import demographic_columns, margins_of_demographics, margins_of_prior
from torch_train.evaluation.splits import FoldPlan


def films_of(pool, train):
    rest = np.setdiff1d(np.arange(len(pool.labels)), train)
    return FoldPlan(0, 0, "fold", 0, np.asarray(train), rest[::2], rest[1::2]).films_of(pool)


def test_the_class_prior_is_the_log_odds_of_the_training_films_alone():
    pool = draw_pool([1, 0, 0, 0, 1, 1, 1, 1])
    margins = margins_of_prior(films_of(pool, [0, 1, 2, 3]))
    assert margins.tolist() == pytest.approx([np.log(1 / 3)] * 8)


def test_age_and_sex_find_what_is_in_them_and_missing_values_crash_nothing():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 400)
    ages = generator.normal(40 + 15 * labels, 12).clip(1, 90)
    people = [(float(age), "F" if generator.random() < 0.5 else "M") for age in ages]
    people[::7] = [(None, None)] * len(people[::7])
    people[3], people[4] = (None, "O"), (33.0, None)
    pool = draw_pool(labels, people=people)
    margins = margins_of_demographics(demographic_columns(pool), films_of(pool, range(200)))
    assert np.isfinite(margins).all()
    test = np.array([film for film in range(200, 400) if people[film][0] is not None])
    assert roc_auc_score(labels[test], margins[test]) == pytest.approx(
        roc_auc_score(labels[test], ages[test]), abs=0.03
    )


def test_age_and_sex_are_not_asked_where_a_class_hardly_tells_them():
    labels = [0] * 50 + [1] * 50
    assert demographic_columns(draw_pool(labels)) is None
    assert demographic_columns(draw_pool(labels, people=[(40.0, "F")] * 50 + [(None, None)] * 50)) is None
    assert demographic_columns(draw_pool(labels, people=[(40.0, None)] * 75 + [(None, None)] * 25)) is not None


def test_a_set_without_a_single_age_is_read_by_sex():
    labels = [0, 1] * 40
    pool = draw_pool(labels, people=[(None, "M" if label else "F") for label in labels])
    margins = margins_of_demographics(demographic_columns(pool), films_of(pool, range(40)))
    assert roc_auc_score(labels, margins) == 1.0
