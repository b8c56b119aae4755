"""What a flag calls for, from the command into the run: given, known for the labels, or nothing."""

import pytest

from tbconv.contract.errors import ConfigError, referral_of_option
from tbconv.contract.manifest import Labels, settle_referral
from torch_train.config import TrainConfig


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("a bacteriological test", "a bacteriological test"),
        ("  A chest\n CT. ", "a chest CT"),
        ("The district hospital's clinic", "the district hospital's clinic"),
        ("MRI", "MRI"),
        ("un test bactériologique", "un test bactériologique"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_a_phrase_fits_into_the_sentences(text, phrase):
    assert referral_of_option(text) == phrase


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("Refer for a chest CT", '--referral "a chest CT"'),
        ("refer to the clinic", '--referral "the clinic"'),
        ("Refer", '--referral "a chest CT"'),
        ("none", '--referral ""'),
        ("x" * 101, '--referral "a chest CT"'),
        ("a \x1b[2J", '--referral "a chest CT"'),
    ],
)
def test_what_is_no_phrase_is_refused_with_one_that_works(text, fix, tmp_path):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(data=tmp_path, out=tmp_path, referral=text)
    assert caught.value.fix == fix
    assert referral_of_option(fix.removeprefix('--referral "').removesuffix('"')) is not None


def test_a_referred_word_inside_a_phrase_is_no_order(tmp_path):
    assert TrainConfig(data=tmp_path, out=tmp_path, referral="a referral letter").referral == "a referral letter"


@pytest.mark.parametrize(
    ("labels", "given", "phrase", "said"),
    [
        (("Normal", "TB"), None, "a bacteriological test", 'answered "Refer for a bacteriological test", as the label'),
        (("Normal", "PNEUMONIA"), None, "", "answered \"Flagged: have a clinician read it\": 'PNEUMONIA' names"),
        (("A", "B"), "a CT", "a CT", 'answered "Refer for a CT"'),
        (("Normal", "TB"), "", "", 'answered "Flagged: have a clinician read it"'),
    ],
)
def test_the_choice_is_said_and_never_asked_for(labels, given, phrase, said):
    found, line = settle_referral(Labels(*labels), given)
    assert found == phrase
    assert said in line
    assert ("--referral" in line) == (given is None)


def test_words_change_no_recipe_so_a_run_resumes_with_others(tmp_path):
    one, other = (TrainConfig(data=tmp_path, out=tmp_path, referral=phrase) for phrase in ("a CT", None))
    assert one.stored() == other.stored()
