"""A network that gives what it may not give never answers again: its baseline does, and says why."""

import asyncio
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from tbconv.contract.bundle import read_bundle, seal
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import ArtefactError
from tbconv.contract.golden import read_golden, write_golden
from tf_serve import fallback
from tf_serve.errors import BadRequest, NoValidOutput
from tf_serve.models import loader
from tf_serve.models.loader import BundleLoader
from tf_serve.runtime.guards import SAME_ANSWERS, InvalidOutput, OutputGuard, Range, RecheckLimiter, check_random_images
from tf_serve.server.engine import Engine
from tf_serve.settings import Settings

TRAINED = "model_float32.tflite"
VERDICTS = {TRAINED: Verdict.CERTIFIED, "baseline.tflite": Verdict.CERTIFIED}


def films(number=1, *, odd=False, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 256, (number, 7, 7, 1)).repeat(32, 1).repeat(32, 2)
    drawn[:, 0, 0] = 7 if odd else 8
    return drawn.astype(np.float32)


@pytest.fixture
def odd_bundle(make_bundle, networks, add_golden):
    """Return a function that makes a bundle whose trained network is one of the odd ones."""

    def make(name, *, golden=False, verdicts=VERDICTS):
        root = make_bundle(verdicts=verdicts, sources={TRAINED: networks / f"{name}_float32.tflite"})
        return add_golden(root) if golden else root

    return make


def in_engine(root, work):
    """Run `work(engine)` in an engine that has opened a bundle, and let what it began in the background end."""

    async def run():
        engine = Engine(Settings(root=root))
        engine.open_now()
        try:
            found = await work(engine)
            await asyncio.gather(*engine._dropping)
            return found, engine.registry.get(), engine.registry.index()
        finally:
            await engine.stop()

    return asyncio.run(run())


def test_a_network_on_which_litert_fails_while_it_runs_gives_way_to_the_baseline(make_bundle, monkeypatch):
    """LiteRT refuses float64 with a ValueError of its own, which is no client's mistake."""

    async def ask(engine):
        loaded = engine.registry.get()
        model = loaded.active.classifier.classifier._free[0]
        monkeypatch.setattr(model, "_as_input", lambda images: images.astype(np.float64))
        with pytest.raises(NoValidOutput, match="returned an invalid output") as found:
            await infer(engine, films())
        return found.value.why

    why, after, _ = in_engine(make_bundle(verdicts=VERDICTS), ask)
    assert "LiteRT cannot run model_float32.tflite" in why
    assert after.active.kind == "baseline"
    assert "LiteRT cannot run" in after.active.reason


async def infer(engine, images):
    with engine.admit() as slot:
        return await engine.infer(images, engine.registry.get(), slot)


def test_a_network_that_answers_nan_is_dropped_and_its_baseline_says_why(odd_bundle):
    async def work(engine):
        before = engine.registry.get().active.kind
        assert np.isfinite((await infer(engine, films())).logits).all()
        with pytest.raises(NoValidOutput, match="returned an invalid output"):
            await infer(engine, films(odd=True))
        return before

    before, now, index = in_engine(odd_bundle("nan"), work)
    assert (before, now.active.kind) == ("trained", "baseline")
    assert now.active.reason == f"{TRAINED} was disabled: logits held NaN or infinity"
    assert [row.reason for row in index if row.state == "READY"] == [now.active.reason]


def test_the_film_that_met_nan_is_answered_by_the_baseline(odd_bundle, serve, as_png, draw_film, ask):
    film = draw_film(height=224, width=224)
    film[0, 0] = 7
    with serve(odd_bundle("nan")) as client:
        answer = ask(client, as_png(film)).json()
    assert (answer["model"]["kind"], answer["status"]) == ("baseline", "ok")
    assert "NaN" in answer["model"]["fallback_reason"]


def test_without_a_baseline_that_may_answer_nothing_does(odd_bundle):
    async def run():
        engine = Engine(Settings(root=odd_bundle("nan", verdicts=VERDICTS | {"baseline.tflite": Verdict.FAILED})))
        engine.open_now()
        with pytest.raises(NoValidOutput):
            await infer(engine, films(odd=True))
        await asyncio.gather(*engine._dropping)
        await engine.stop()
        return engine

    engine = asyncio.run(run())
    assert engine.registry.names() == ()
    assert [row.state for row in engine.registry.index()] == ["UNAVAILABLE"]
    assert "was disabled" in engine.registry.index()[0].reason


def test_a_margin_far_from_all_golden_ones_is_the_films_matter_while_the_golden_inputs_repeat(odd_bundle):
    async def work(engine):
        with pytest.raises(NoValidOutput, match="outside"):
            await infer(engine, films(odd=True))
        return await infer(engine, films())

    answer, now, _ = in_engine(odd_bundle("far", golden=True), work)
    assert now.active.kind == "trained"
    assert np.isfinite(answer.logits).all()


def test_a_network_that_says_the_same_to_every_film_is_dropped(odd_bundle):
    async def work(engine):
        for seed in range(SAME_ANSWERS):
            await infer(engine, films(seed=seed))
        with pytest.raises(NoValidOutput, match="returned an invalid output"):
            await infer(engine, films(seed=SAME_ANSWERS))

    _, now, _ = in_engine(odd_bundle("constant"), work)
    assert (now.active.kind, "same logits" in now.active.reason) == ("baseline", True)


def test_a_network_that_says_the_same_to_every_golden_input_never_answers(odd_bundle):
    async def work(engine):
        return engine.registry.get().active.reason

    reason, now, _ = in_engine(odd_bundle("constant", golden=True), work)
    assert now.active.kind == "baseline"
    assert "is a constant" in reason


def test_the_same_film_again_and_again_is_no_sign():
    class Same:
        def predict(self, images):
            from tbconv.contract.statistics import Prediction

            return Prediction(np.float32([[1, 2]]), np.float32([[0.7]]), np.ones((1, 7, 7), np.float32))

    guarded = OutputGuard(Same(), recheck=lambda: "the golden inputs say so too")
    for _ in range(3 * SAME_ANSWERS):
        guarded.predict(films())
    for seed in range(1, SAME_ANSWERS):
        guarded.predict(films(seed=seed))
    with pytest.raises(InvalidOutput, match="say so too") as caught:
        guarded.predict(films(seed=SAME_ANSWERS))
    assert caught.value.broken


def test_a_client_cannot_put_a_network_aside_by_what_it_sends(odd_bundle):
    async def work(engine):
        for value in (np.nan, np.inf, -1, 256, 3e38):
            with pytest.raises(BadRequest, match="no grey levels"):
                await infer(engine, films() * 0 + np.float32(value))

    _, now, _ = in_engine(odd_bundle("model"), work)
    assert now.active.kind == "trained"


def test_a_bundle_whose_golden_file_would_fill_the_memory_is_not_opened(odd_bundle):
    root = odd_bundle("model", golden=True)
    with zipfile.ZipFile(root / "golden.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(65 * 2**20))
    manifest = read_bundle(root).manifest
    (root / "manifest.json").unlink()
    seal(root, replace(manifest, files={}))
    with pytest.raises(ArtefactError, match=r"golden\.npz holds no golden inputs"):
        BundleLoader().open(root)


def test_golden_inputs_that_would_take_a_server_long_are_not_run(odd_bundle, monkeypatch):
    root = odd_bundle("model", golden=True)
    monkeypatch.setattr(loader, "MOST_GOLDEN_WORK", 1e6)
    with pytest.raises(ArtefactError, match="takes too long to be checked") as refused:
        BundleLoader().open(root)
    assert "golden inputs take" in refused.value.why


def test_golden_inputs_of_another_size_are_an_expected_error(odd_bundle):
    root = odd_bundle("model", golden=True)
    golden = read_golden(root / "golden.npz")
    write_golden(root / "golden.npz", replace(golden, model_inputs=golden.model_inputs[:, :64, :64]))
    manifest = read_bundle(root).manifest
    (root / "manifest.json").unlink()
    seal(root, replace(manifest, files={}))
    with pytest.raises(ArtefactError, match="cannot be run on the golden inputs") as refused:
        BundleLoader().open(root)
    assert refused.value.why == "they are 64 pixels wide, its films 224"


def test_golden_inputs_are_read_once_for_all_files_of_a_bundle(odd_bundle, monkeypatch):
    read, known = [], fallback.read_golden
    monkeypatch.setattr(fallback, "read_golden", lambda data: read.append(data) or known(data))
    loaded = BundleLoader().open(odd_bundle("model", golden=True))
    assert (loaded.standby is not None, len(read)) == (True, 1)


def test_golden_inputs_are_asked_again_once_in_a_while():
    asked = []
    ask = RecheckLimiter(lambda: asked.append(1), every_s=60)
    assert [ask(), ask(), ask()] == [None] * 3
    assert len(asked) == 1


def test_the_range_is_that_of_the_golden_margins_and_as_much_again_on_both_sides():
    allowed = Range.around(np.float32([-15, 1, 45]))
    assert (allowed.low, allowed.high) == (-75, 105)
    assert allowed.holds(104)
    assert not allowed.holds(-76)
    close = Range.around(np.float32([0.1, 0.2]))
    assert (close.holds(20), close.holds(21)) == (True, False)


def test_without_golden_inputs_drawn_pictures_say_whether_a_network_is_constant():
    from tbconv.contract.statistics import Prediction

    class Mean:
        def predict(self, images):
            means = images.mean((1, 2, 3)).astype(np.float32)
            return Prediction(np.stack([-means, means], 1), means[:, None], np.ones((len(images), 7, 7), np.float32))

    class Constant:
        def predict(self, images):
            ones = np.ones((len(images), 2), np.float32)
            return Prediction(ones, ones[:, :1], np.ones((len(images), 7, 7), np.float32))

    assert check_random_images(Mean(), 224) is None
    assert "drawn pictures too" in check_random_images(Constant(), 224)


def test_a_suspicion_that_nothing_confirms_puts_no_network_aside():
    class Same:
        def predict(self, images):
            from tbconv.contract.statistics import Prediction

            return Prediction(np.float32([[1, 2]]), np.float32([[0.7]]), np.ones((1, 7, 7), np.float32))

    guarded = OutputGuard(Same())
    for seed in range(3 * SAME_ANSWERS):
        guarded.predict(films(seed=seed))
