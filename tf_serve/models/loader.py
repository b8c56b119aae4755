"""One bundle made ready to answer: its file copied, opened, proved on the golden inputs, and the baseline beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tbconv.contract.bundle import MAKE_AGAIN, Bundle, read_bundle, read_site
from tbconv.contract.errors import ArtefactError, BundleError
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.signature import SignatureRule
from tbconv.contract.statistics import Classifier
from tf_serve.fallback import ActiveModel, CheckedBundle, check_bundle, choose_file, open_baseline
from tf_serve.models.registry import LoadedModel
from tf_serve.runtime.guards import OutputGuard, Range, RecheckLimiter, check_random_images
from tf_serve.runtime.pool import Pool
from tf_serve.runtime.selftest import describe_processor, golden_check
from tf_serve.runtime.structure import MOST_WORK

STANDBY_REASON = "standby baseline"
# Multiplications: the 16 inputs that convert writes, through the largest network that is sound.
MOST_GOLDEN_WORK = 16 * MOST_WORK


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLoader:
    """How bundles are opened."""

    artefact: str | None = None  # None: the file that each certificate proposes
    threads: int = 1  # interpreters of a file at most
    folder: Path | None = None  # where copies are shared with other processes
    signature: SignatureRule | None = None  # whose signature every bundle needs
    site: Path | None = None  # site.json: figures of the one bundle that is served
    proved: bool = False  # this machine has tried the files and run their golden inputs, in the process that started us

    def open(self, root: Path, *, name: str | None = None, number: int | None = None) -> LoadedModel:
        """Open a bundle, and prove that it answers as it did.

        Args:
            root: the bundle.
            name: the model's name in addresses; None takes the manifest's.
            number: of its folder, where versions are numbered.

        Raises:
            BundleError: no file of it may answer, or the site's figures are of another bundle.
            SetupError: this machine decodes images differently from training.
        """
        bundle = read_bundle(root)
        checked = check_bundle(bundle, self.signature)
        active = choose_file(checked, artefact=self.artefact, open_file=self.open_file)
        standby = self._standby(checked) if active.kind == "trained" else None
        if self.site is not None:
            site = read_site(self.site, bundle)
            active, standby = replace(active, site=site), standby and replace(standby, site=site)
        named = name or bundle.manifest.name
        here = describe_processor(bundle.certificate(), active.artefact)
        return LoadedModel(named, active.version, bundle, active, number=number, standby=standby, processor=here)

    def _standby(self, checked: CheckedBundle) -> ActiveModel | None:
        """Open the baseline beside a trained network; a bundle without a good one serves all the same."""
        try:
            return open_baseline(checked, STANDBY_REASON, open_file=self.open_file)
        except BundleError:
            return None

    def open_file(self, checked: CheckedBundle, name: str) -> Classifier:
        """Open a file of a checked bundle, prove it on the golden inputs, and guard what it answers."""
        bundle, golden = checked.bundle, checked.golden
        pool = checked.open(name, size=self.threads, folder=self.folder, tried=self.proved)
        if golden is None:
            size = bundle.manifest.preprocessing.size
            return OutputGuard(
                _warmed(bundle, name, pool), recheck=RecheckLimiter(lambda: check_random_images(pool, size))
            )
        if (work := pool.cost.work * len(golden.names)) > MOST_GOLDEN_WORK:
            why = (
                f"its {len(golden.names)} golden inputs take {work:.0e} multiplications, {MOST_GOLDEN_WORK:.0e} at most"
            )
            raise ArtefactError(f"{name} takes too long to be checked", why=why, fix=MAKE_AGAIN)
        run = golden_check(bundle, name, golden)
        if not self.proved and (problem := run(pool).problem) is not None:
            raise ArtefactError(f"{name} does not answer as it did", why=problem, fix=MAKE_AGAIN)
        margins = golden.answers[name].margin
        return OutputGuard(pool, allowed=Range.around(margins), recheck=RecheckLimiter(lambda: run(pool).problem))


def _warmed(bundle: Bundle, name: str, pool: Pool) -> Pool:
    """Run a file without golden outputs on an empty film, so that the first real one does not wait."""
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
