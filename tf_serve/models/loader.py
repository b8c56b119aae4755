"""One bundle made ready to answer: its file copied, opened, proved on the golden inputs, and the baseline beside it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tbconv.contract.bundle import MAKE_AGAIN, Bundle, read_bundle
from tbconv.contract.errors import ArtefactError, BundleError
from tbconv.contract.golden import GOLDEN, GOLDEN_FILMS, read_golden
from tbconv.contract.preprocess import as_model_input
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
        check_archives(bundle)
        active = choose_model(bundle, artefact=self.artefact, open_file=self._open_file)
        standby = self._standby(bundle) if active.kind == "trained" else None
        named = name or bundle.manifest.name
        return LoadedModel(named, active.version, bundle, active, number=number, standby=standby)

    def _standby(self, bundle: Bundle) -> ActiveModel | None:
        """Open the baseline beside a trained network; a bundle without a good one serves all the same."""
        try:
            return open_baseline(bundle, STANDBY_REASON, open_file=self._open_file)
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
        margins = read_golden(bundle.path(GOLDEN)).answers[name].margin
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


# --- archives ---
# Whether a bundle's archives unpack to what they should be, found out before one byte of them is unpacked.

# Bytes in all; 16 model inputs and 12 recorded answers are 1 MB, drawn films a few. Zeros pack a thousand to one.
MOST = 64 * 1024 * 1024


def check_archives(bundle: Bundle) -> None:
    """Refuse a bundle whose golden files would fill the memory.

    Raises:
        ArtefactError: an archive is damaged, or says that it unpacks to more than it can hold.
    """
    for name in (GOLDEN, GOLDEN_FILMS):
        if name not in bundle.manifest.files:
            continue
        try:
            with zipfile.ZipFile(bundle.path(name)) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except (OSError, zipfile.BadZipFile) as error:
            raise ArtefactError(f"{name} is damaged", why=str(error), fix=MAKE_AGAIN) from error
        if unpacked > MOST:
            why = f"it unpacks to {unpacked / 2**20:,.0f} MB, {MOST / 2**20:.0f} MB are the most"
            raise ArtefactError(f"{name} is no record of golden films", why=why, fix=MAKE_AGAIN)
