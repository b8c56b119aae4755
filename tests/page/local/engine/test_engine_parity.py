"""The engine in Chromium answers as Python does, in every field and to the last bit, or refuses with its reason."""

import numpy as np
import pytest
from draw_engine_films import dicoms, jpegs, pngs, rejects, save, unread

from tbconv.contract.xray import decode_xray

CORPORA = {"PNG": pngs, "JPEG": jpegs, "DICOM": dicoms, "rejected": rejects}


def answers(engine, scored, films):
    """Pairs of answers by film: Python's and the browser's, each without its own id."""
    found = {}
    for name, film in films.items():
        asked, expected = engine.screen(film), scored.score(film).to_json()
        assert "value" in asked, (name, asked)
        expected["evidence"] = expected["evidence"] and {
            **expected["evidence"],
            "map": [list(row) for row in expected["evidence"]["map"]],
        }
        found[name] = [
            {key: value for key, value in one.items() if key != "result_id"} for one in (expected, asked["value"])
        ]
    return found


@pytest.mark.parametrize("artefact", ["model_int8.tflite", "model_float32.tflite"])
def test_every_field_of_every_answer_is_pythons(artefact, engine_bundle, write_site, open_engine, scorer):
    bundle = engine_bundle()
    engine, scored = open_engine(write_site(bundle, artefact)), scorer(bundle, artefact)
    started = engine.start()
    assert "value" in started, started
    assert started["value"]["films"] == 3 + 12  # golden inputs and golden films
    apart, statuses = [], set()
    for kind, draw in CORPORA.items():
        for name, (expected, asked) in answers(engine, scored, draw()).items():
            statuses.add((kind, asked["status"]))
            apart += [] if asked == expected else [(kind, name, expected, asked)]
    assert apart == []
    assert {(kind, "ok") for kind in CORPORA} <= statuses
    assert ("rejected", "rejected") in statuses


def test_films_that_it_reads_otherwise_or_not_at_all_are_refused_with_a_reason(engine_bundle, write_site, open_engine):
    engine = open_engine(write_site(engine_bundle()))
    assert "value" in engine.start()
    for name, film in unread().items():
        error = engine.screen(film)["error"]
        assert error["kind"] == "film", (name, error)
        assert all(error[part] for part in ("what", "why", "fix"))
    assert engine.screen(save(np.asarray(decode_xray(pngs()["224 x 224"]))))["value"]["status"] == "ok"  # it goes on


def test_a_picture_is_the_films_own_pixels(engine_bundle, write_site, open_engine):
    engine = open_engine(write_site(engine_bundle()))
    assert "value" in engine.start()
    for film in (jpegs()["orientation 6"], dicoms()["12 bits, padding"], pngs()["16 bits, 12"]):
        picture, pixels = engine.picture(film)["value"], decode_xray(film)
        assert (picture["height"], picture["width"]) == pixels.shape
        assert np.array_equal(np.array(picture["pixels"], np.uint8).reshape(pixels.shape), pixels)
