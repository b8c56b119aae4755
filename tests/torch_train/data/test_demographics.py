import pytest

from torch_train.data.records import parse_person

CELLS = [
    ("31", "male", 31.0, "M"),
    ("044", "F", 44.0, "F"),
    ("1yr", "femal", 1.0, "F"),
    ("16month", "Male,", 1.333, "M"),
    ("male35", "male35yrs", 35.0, "M"),
    ("female24", "female24yrs", 24.0, "F"),
    ("", "female24yrs", 24.0, "F"),
    ("058Y", "O", 58.0, "O"),
    ("", "", None, None),
    ("unknown", "?", None, None),
    ("999", "x", None, None),
]


@pytest.mark.parametrize(("age", "sex", "years", "letter"), CELLS)
def test_age_and_sex_are_read_as_people_write_them(age, sex, years, letter):
    assert parse_person(age, sex) == (years, letter)
