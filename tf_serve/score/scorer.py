"""Bytes of a film in, its answer out: the one scorer of the server, of local processes, of Ray and of Spark.

A scorer is one bundle, checked once and opened, with one interpreter of one thread; whoever has several cores opens
several. It travels between processes as its recipe: the bundle's path, the options, and the digests of what it found
there, so that a process that finds anything else refuses to answer instead of answering with another network.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import CERTIFICATE, MAKE_AGAIN, read_bundle
from tbconv.contract.errors import BundleError, FilmError, TbconvError
from tbconv.contract.files import sha256_bytes
from tbconv.contract.manifest import Manifest
from tbconv.contract.signature import SignatureRule
from tbconv.contract.xray.folder import FILM_SUFFIXES, HEAD_BYTES, kind_of
from tf_serve.fallback import ActiveModel, check_bundle, choose_checked, choose_file
from tf_serve.gate.rules import GateLevel
from tf_serve.models.loader import BundleLoader
from tf_serve.predict import ScreenResult, describe_calibration, describe_model, limits, screen
from tf_serve.runtime.guards import InvalidOutput, OutputGuard
from tf_serve.score.hospital import HospitalWriter
from tf_serve.score.rows import Row, Status, without_answer
from tf_serve.telemetry.trace import current_trace, instrumented, stage, start_trace


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerRecipe:
    """How to open a scorer again in another process, and what it has to find there."""

    bundle: Path
    artefact: str | None = None  # None: the one that the certificate proposes
    gate: GateLevel = GateLevel.STRICT
    signature: SignatureRule | None = None  # whose signature is required
    manifest_sha256: str
    model_sha256: str  # of the file that answers
    altered: tuple[str, ...] = ()  # other files of the bundle that changed, as the answers say
    hospital: HospitalWriter | None = None  # writes each answer of `Scorer.row` in the hospital's formats

    def open(self, *, shared: Path | None = None, proved: bool = False) -> Scorer:
        """Open the scorer.

        Args:
            shared: folder in which processes of one machine share their copy of the network; None: a copy of one's own.
            proved: whether the recipe was made on this machine just now, so that the network need not be tried and run
                on its golden inputs again.

        Raises:
            BundleError: the bundle is not the one that the recipe was made of, or cannot answer.
            SetupError: this machine decodes images differently from training.
        """
        bundle = read_bundle(self.bundle)
        if bundle.sha256 != self.manifest_sha256:
            raise _another(self.bundle, "manifest.json", bundle.sha256, self.manifest_sha256)
        checked, loader = check_bundle(bundle, self.signature), BundleLoader(folder=shared, proved=proved)
        active = choose_file(checked, artefact=self.artefact, open_file=loader.open_file)
        if active.sha256 != self.model_sha256:
            raise _another(self.bundle, f"what answers ({active.artefact})", active.sha256, self.model_sha256)
        return Scorer.of(replace(active, altered=self.altered), bundle.manifest, gate=self.gate, recipe=self)


def _another(place: Path, what: str, found: str, expected: str) -> BundleError:
    why = f"{what} has digest {found[:12]}, it was {expected[:12]} when the scoring began"
    fix = "score with the bundle that it began with, or begin anew into another folder"
    return BundleError(f"{place} is not the bundle that it was", why=why, fix=fix)


class Scorer:
    """A bundle that answers films: one interpreter, one thread.

    It can be pickled, and is then opened anew where it arrives (`ScorerRecipe.open`).
    """

    active: ActiveModel
    manifest: Manifest
    gate: GateLevel
    _watched: ActiveModel | None = None  # the same model, taking notes

    def __init__(
        self,
        bundle: str | Path,
        *,
        artefact: str | None = None,
        gate: GateLevel | str = GateLevel.STRICT,
        signature: SignatureRule | None = None,
        shared: Path | None = None,
    ) -> None:
        """Check a bundle, every file of it, and open the file that may answer.

        Args:
            bundle: folder that `convert` wrote.
            artefact: a TFLite file of it; None takes the one that its certificate proposes.
            gate: strict, basic or off: how much the input gate may judge.
            signature: whose signature is required; None requires none.
            shared: folder in which processes of one machine share their copy of the network.

        Raises:
            BundleError: it is no bundle, or no file of it may answer.
            ConfigError: `artefact` is no TFLite file.
            SetupError: this machine decodes images differently from training.
        """
        opened = read_bundle(Path(bundle))
        open_file = BundleLoader(folder=shared).open_file
        active = choose_checked(opened, artefact=artefact, signature=signature, open_file=open_file)
        self.active, self.manifest, self.gate = active, opened.manifest, GateLevel(gate)
        self.recipe: ScorerRecipe | None = ScorerRecipe(
            bundle=opened.root.resolve(),
            artefact=artefact,
            gate=self.gate,
            signature=signature,
            manifest_sha256=opened.sha256,
            model_sha256=active.sha256,
            altered=active.altered or (),
        )

    @classmethod
    def of(
        cls,
        active: ActiveModel,
        manifest: Manifest,
        *,
        gate: GateLevel = GateLevel.STRICT,
        recipe: ScorerRecipe | None = None,
    ) -> Scorer:
        """Return the scorer of a model that is open already; it can be pickled if it has a recipe."""
        scorer = cls.__new__(cls)
        scorer.active, scorer.manifest, scorer.gate, scorer.recipe = active, manifest, gate, recipe
        return scorer

    def __reduce__(self) -> tuple[Callable[[ScorerRecipe], Scorer], tuple[ScorerRecipe]]:
        """Travel as a recipe."""
        if self.recipe is None:
            raise TypeError("a scorer of a model that was opened elsewhere cannot be pickled")
        return ScorerRecipe.open, (self.recipe,)

    def score(self, data: bytes, *, name: str = "the film", content_type: str | None = None) -> ScreenResult:
        """Answer one film.

        Args:
            data: a whole PNG, JPEG or DICOM file.
            name: how errors call the film.
            content_type: what the sender calls it.

        Raises:
            FilmError: the bytes are damaged, too large or no PNG, JPEG or DICOM.
            InvalidOutput: the network returned an invalid output (tf_serve.runtime.guards).
        """
        return screen(data, self.active, self.manifest, name=name, content_type=content_type, gate=self.gate)

    def row(self, film: str, data: bytes, *, called_film: bool = True) -> Row:
        """Answer one film for a table: what cannot be answered is quarantined with its reason, and not raised.

        The seconds of each stage are added to the current trace (tf_serve.telemetry.trace), if there is one.

        Args:
            film: its id; it stands in the row and nowhere else.
            data: a whole PNG, JPEG or DICOM file.
            called_film: whether its name says that it is a film: of other names what is no film is left out, not wrong.

        Raises:
            BundleError: the network returned an invalid output, and does not answer its golden inputs any more.
        """
        notes = current_trace() or start_trace()
        notes.seen = None
        with stage("digest"):
            digest = sha256_bytes(data)
        other = kind_of(data[:HEAD_BYTES], FILM_SUFFIXES[0] if called_film else "")
        if other is not None:
            return self._without_answer(film, "left_out", other, digest)
        if self._watched is None:
            self._watched = instrumented(self.active)
        try:
            result = screen(data, self._watched, self.manifest, gate=self.gate)
            if self.recipe is not None and self.recipe.hospital is not None:
                with stage("hospital"):
                    self.recipe.hospital.write(data, result, self.manifest)
        except FilmError as error:
            return self.quarantined(film, error.one_line, digest=digest)
        except InvalidOutput as error:
            self._check_still_sound(error)
            return self.quarantined(
                film, f"{self.active.artefact} returned an invalid output: {error.reason}", digest=digest
            )
        except TbconvError:
            raise  # of the bundle or of this machine: it would meet every film
        except Exception as error:  # noqa: BLE001  (it is recorded with the film, counted and said)
            return self.quarantined(film, f"an unexpected error: {place_of(error)}", digest=digest)
        found, refusal, seen = result.finding, result.refusal, notes.seen
        return Row(
            film=film,
            film_sha256=digest,
            status="answered" if found else "rejected",
            decision=found.decision if found else None,
            score=found.score if found else None,
            probability=found.probability if found else None,
            margin=found.margin if found else None,
            limits=result.limits,
            gate_reason=refusal.value if refusal else None,
            evidence_side=found.side if found else None,
            evidence_zone=found.zone if found else None,
            grey_mean=float(seen.grey_level[0]) if found and seen else None,
            grey_deviation=float(seen.contrast[0]) if found and seen else None,
            model_sha256=self.active.sha256,
            certificate_sha256=self.certificate_sha256,
            reason=None,
        )

    def quarantined(self, film: str, reason: str, *, digest: str | None = None) -> Row:
        """Return the row of a film that could not be answered.

        Args:
            film: its id.
            reason: in words, without the film's name.
            digest: SHA-256 of its bytes, where they were read.
        """
        return self._without_answer(film, "quarantined", reason, digest)

    def _without_answer(self, film: str, status: Status, reason: str, digest: str | None) -> Row:
        model, certificate = self.active.sha256, self.certificate_sha256
        return without_answer(film, status, reason, digest=digest, model_sha256=model, certificate_sha256=certificate)

    @property
    def certificate_sha256(self) -> str | None:
        """Digest of the bundle's certificate; None where it has none."""
        record = self.manifest.files.get(CERTIFICATE)
        return record.sha256 if record else None

    def describe(self) -> dict[str, Any]:
        """Return what holds for every answer, as JSON: who answers, by which rule and gate, in whose words."""
        return {
            "labels": list(self.manifest.labels.names),
            "model": describe_model(self.active, self.manifest),
            "calibration": describe_calibration(self.active.decision_rule),
            "threshold": self.active.decision_rule.operating_point.margin,
            "indeterminate_band": self.active.abstention_band,
            "decision_words": self.manifest.words.decisions,
            "gate": self.gate.value,
            "limits": list(limits(self.active, self.manifest)),
            "certificate_sha256": self.certificate_sha256,
            "manifest_sha256": self.recipe.manifest_sha256 if self.recipe else None,
        }

    def _check_still_sound(self, error: InvalidOutput) -> None:
        """Raise where not the film but the network is at fault: it fails on its golden inputs, too."""
        classifier = self.active.classifier
        problem = classifier.problem() if isinstance(classifier, OutputGuard) else None
        if problem is not None:
            what = f"{self.active.artefact} does not answer as it did"
            raise BundleError(what, why=f"{error.reason}, and {problem}", fix=MAKE_AGAIN)


def place_of(error: Exception) -> str:
    """Return class and place of an error of the program: its words may quote the film."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"
