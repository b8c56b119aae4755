"""One bundle made ready to answer: its file copied, opened, proved on the golden inputs, and the baseline beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tbconv.contract.bundle import MAKE_AGAIN, Bundle, read_bundle
from tbconv.contract.consistency import Binding
from tbconv.contract.errors import ArtefactError, BundleError
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.signature import SignatureRule
from tbconv.contract.statistics import Classifier
from tf_serve.fallback import ActiveModel, choose_model, open_baseline
from tf_serve.models.registry import LoadedModel
from tf_serve.runtime.guards import OutputGuard, Range, RecheckLimiter, check_random_images
from tf_serve.runtime.pool import Pool
from tf_serve.runtime.selftest import golden_check

STANDBY_REASON = "standby baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLoader:
    """How bundles are opened."""

    artefact: str | None = None  # None: the file that each certificate proposes
    threads: int = 1  # interpreters of a file at most
    folder: Path | None = None  # where copies are shared with other processes
    signature: SignatureRule | None = None  # whose signature every bundle needs

    def open(self, root: Path, *, name: str | None = None, number: int | None = None) -> LoadedModel:
        """Open a bundle, and prove that it answers as it did.

        Args:
            root: the bundle.
            name: the model's name in addresses; None takes the manifest's.
            number: of its folder, where versions are numbered.

        Raises:
            BundleError: no file of it may answer.
            SetupError: this machine decodes images differently from training.
        """
        bundle = read_bundle(root)
        active = choose_model(bundle, artefact=self.artefact, signature=self.signature, open_file=self._open_file)
        standby = self._standby(bundle, active.binding) if active.kind == "trained" else None
        named = name or bundle.manifest.name
        return LoadedModel(named, active.version, bundle, active, number=number, standby=standby)

    def _standby(self, bundle: Bundle, binding: Binding) -> ActiveModel | None:
        """Open the baseline beside a trained network; a bundle without a good one serves all the same."""
        try:
            return replace(open_baseline(bundle, STANDBY_REASON, open_file=self._open_file), binding=binding)
        except BundleError:
            return None

    def _open_file(self, bundle: Bundle, name: str) -> Classifier:
        pool = Pool(bundle, name, size=self.threads, folder=self.folder)
        ask = golden_check(bundle, name)
        if ask is None:
            size = bundle.manifest.preprocessing.size
            return OutputGuard(
                _warmed(bundle, name, pool), recheck=RecheckLimiter(lambda: check_random_images(pool, size))
            )
        found = ask(pool)
        if found.problem is not None:
            raise ArtefactError(f"{name} does not answer as it did", why=found.problem, fix=MAKE_AGAIN)
        margins = read_golden(bundle.read(GOLDEN)).answers[name].margin
        return OutputGuard(pool, allowed=Range.around(margins), recheck=RecheckLimiter(lambda: ask(pool).problem))


def _warmed(bundle: Bundle, name: str, pool: Pool) -> Pool:
    """Ask a file without golden answers about an empty film, so that the first real one does not wait."""
    size = bundle.manifest.preprocessing.size
    answer = pool.predict(as_model_input(np.zeros((1, size, size), np.uint8)))
    if not np.isfinite(answer.logits).all():
        raise ArtefactError(f"{name} returns no valid output", why="its logits are NaN or infinite", fix=MAKE_AGAIN)
    return pool


def fall_back(loaded: LoadedModel, reason: str, *, what: str = "was disabled") -> LoadedModel | None:
    """Return the same bundle answered by its baseline, with the reason; None where it has none that may."""
    if loaded.standby is None:
        return None
    active = replace(loaded.standby, reason=f"{loaded.active.artefact} {what}: {reason}")
    return replace(loaded, version=active.version, active=active, standby=None)
