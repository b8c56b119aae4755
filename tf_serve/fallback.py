"""Which file of a bundle answers, and why: the certified network, or the baseline.

`ArtefactError` alone leads to the baseline: a served file that is missing, altered or without
a verdict. Its sentence is kept as the reason, and every answer carries it. Any other error
passes through, and so does whatever is wrong with the baseline itself, with the manifest (its
threshold and labels are the baseline's too), or with the way this machine opens films: that
would show every network another film.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tbconv.contract.bundle import MAKE_AGAIN, Bundle
from tbconv.contract.certificate import ArtefactVerdict, Site, Verdict
from tbconv.contract.consistency import Binding, check_answers, check_binding, check_contents
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError
from tbconv.contract.golden import GOLDEN, Golden, read_golden
from tbconv.contract.manifest import DecisionRule, Kind
from tbconv.contract.signature import SignatureRule
from tbconv.contract.statistics import Classifier
from tbconv.contract.xray.reference import GREY_REFERENCE, GreyReference
from tf_serve.runtime.pool import Pool
from tf_serve.runtime.selftest import check_preprocessing

# Where a certificate proposes no file (those of tbconv 0.1). Fastest first: 21, 22, 70 and 70 ms a film on one
# thread (../shared/conversion.md); of two that take as long, the one that is exact.
SERVING_ORDER = ("model_int8.tflite", "model_dynamic.tflite", "model_float32.tflite", "model_float16.tflite")
BASELINE = "baseline.tflite"
HASHING = 2  # files at once; hashlib lets other threads run, and a disk has no use for more
NO_TRAINED_MODEL = "no trained model is in the bundle"
ASKED_FOR = "the baseline was requested by name"


@dataclass(frozen=True, slots=True)
class CheckedBundle:
    """A bundle whose manifest holds, and what its files are held to when they are opened."""

    bundle: Bundle
    binding: Binding  # what holds threshold and labels to what was certified
    golden: Golden | None  # None where the bundle records no golden inputs
    reference: GreyReference | None = None  # what films are held against; older bundles have none

    def open(self, name: str, *, size: int = 1, folder: Path | None = None, tried: bool = False) -> Pool:
        """Copy a file, judge the copy, by what is written inside it too, and map it (tf_serve.runtime.pool)."""
        check = partial(check_contents, self.bundle, name)
        return Pool(self.bundle, name, size=size, folder=folder, check=check, tried=tried)


OpenFile = Callable[[CheckedBundle, str], Classifier]


def open_file(checked: CheckedBundle, name: str) -> Classifier:
    """Open a file of a bundle after it was judged; the server also runs its golden inputs (tf_serve.models.loader)."""
    return checked.open(name)


def check_bundle(bundle: Bundle, signature: SignatureRule | None = None) -> CheckedBundle:
    """Check what holds for every file of a bundle, and read its golden inputs once.

    Args:
        bundle: of which nothing was checked.
        signature: the key that has to vouch for it; None requires none.

    Raises:
        BundleError: the manifest is not the one that was certified, the required signature does not vouch for it, or
            golden inputs, films or the reference of
            grey levels are missing or altered.
        SetupError: this machine decodes images differently from training.
    """
    if signature is not None:
        signature.check_bundle(bundle)
    binding = check_binding(bundle)
    check_preprocessing(bundle)
    golden = read_golden(bundle.read(GOLDEN)) if GOLDEN in bundle.manifest.files else None
    reference = None
    if GREY_REFERENCE in bundle.manifest.files:
        reference = GreyReference.from_bytes(bundle.read(GREY_REFERENCE))
    return CheckedBundle(bundle, Binding.SIGNED if signature else binding, golden, reference)


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """What answers films, and what is to be said of it."""

    kind: Kind
    artefact: str  # its path in the bundle
    sha256: str
    verdict: ArtefactVerdict
    reason: str | None  # why the baseline answers; None when the trained network does
    classifier: Classifier
    decision_rule: DecisionRule
    version: str  # 12 hex digits over all that decides (Manifest.version_of)
    binding: Binding  # what holds threshold and labels to what was certified
    altered: tuple[str, ...] | None = None  # how other files of its bundle changed; None until all were looked at
    site: Site | None = None  # what its bundle reached on films of the site where it answers
    reference: GreyReference | None = None  # of the training films' grey levels; None: the bundle has none

    def __post_init__(self) -> None:
        if (self.kind == "baseline") != (self.reason is not None):
            raise ValueError(f"a baseline has a reason and nothing else has, got {self.kind}, {self.reason!r}")

    @property
    def site_figures(self) -> Site | None:
        """The site's figures where they are of this very file; None otherwise."""
        return self.site if self.site is not None and self.site.sha256 == self.sha256 else None

    @property
    def abstention_band(self) -> float:
        """Half width of the band around the threshold in which the file decides nothing, in logits."""
        return self.verdict.abstention_band


def choose_model(
    bundle: Bundle,
    *,
    artefact: str | None = None,
    signature: SignatureRule | None = None,
    open_file: OpenFile = open_file,
) -> ActiveModel:
    """Open the file that may answer.

    Args:
        bundle: its manifest is held to its certificate, its files are trusted one by one, by digest and verdict.
        artefact: a TFLite file of the bundle; None takes the one that the certificate proposes.
        signature: the key that has to vouch for the bundle; None requires none.
        open_file: checks a digest and opens the file; ArtefactError where it may not answer.

    Returns:
        The trained network, or the baseline with the reason.

    Raises:
        ConfigError: `artefact` is no TFLite file.
        BundleError: the bundle has no such artefact, the baseline cannot answer either, the manifest is not the one
            that was certified, or the required signature does not vouch for it.
        SetupError: this machine decodes images differently from training.
    """
    return choose_file(check_bundle(bundle, signature), artefact=artefact, open_file=open_file)


def choose_file(checked: CheckedBundle, *, artefact: str | None = None, open_file: OpenFile = open_file) -> ActiveModel:
    """Open the file that may answer, of a bundle that was checked; otherwise as `choose_model`."""
    bundle = checked.bundle
    if artefact is not None:
        _check_is_tflite(bundle, artefact)
    if artefact == BASELINE:
        return open_baseline(checked, ASKED_FOR, open_file=open_file)
    if bundle.manifest.kind == "baseline":
        return open_baseline(checked, NO_TRAINED_MODEL, open_file=open_file)
    try:
        return _open_trained(checked, artefact or proposed(bundle), open_file)
    except ArtefactError as error:
        return open_baseline(checked, error.one_line, open_file=open_file)


def choose_checked(
    bundle: Bundle,
    *,
    artefact: str | None = None,
    signature: SignatureRule | None = None,
    open_file: OpenFile = open_file,
) -> ActiveModel:
    """Open the file that may answer, as `choose_model` does, and hold every other file to its digest meanwhile.

    Raises:
        ArtefactError: `artefact` was named and may not answer: nobody who names a file means the baseline.
    """
    checked = check_bundle(bundle, signature)  # first: a bundle that is refused is not read through
    with ThreadPoolExecutor(HASHING) as pool:
        problems = pool.map(bundle.problem_of, bundle.manifest.files)
        try:
            active = choose_file(checked, artefact=artefact, open_file=open_file)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        if artefact is not None and active.artefact != artefact:
            what, why = f"{artefact} was named and may not answer", active.reason or "the baseline would answer"
            raise ArtefactError(what, why=why, fix=_instead(bundle))
        return replace(active, altered=tuple(problem for problem in problems if problem))


def _instead(bundle: Bundle) -> str:
    """Say which file answers where none is named."""
    try:
        return f"omit --artefact: {proposed(bundle)} is proposed"
    except ArtefactError:
        return "omit --artefact: the baseline then answers and says why"


def _check_is_tflite(bundle: Bundle, artefact: str) -> None:
    if not bundle.manifest.artefact(artefact).is_served:
        known = [found.path for found in bundle.manifest.artefacts if found.is_served]
        raise ConfigError(
            f"{artefact} is no TFLite file", why="the server runs LiteRT alone", fix=f"name one of {', '.join(known)}"
        )


def proposed(bundle: Bundle) -> str:
    """Return the trained file that the certificate proposes; ArtefactError where it proposes none."""
    deploy = bundle.certificate().deploy
    if not deploy:
        return _fastest(bundle)
    if deploy["artefact"] is None:
        why = "; ".join(f"{name}: {reason}" for name, reason in deploy["others"].items())
        raise ArtefactError("no trained file may serve", why=why or str(deploy["reason"]), fix=MAKE_AGAIN)
    return str(deploy["artefact"])


def _fastest(bundle: Bundle) -> str:
    verdicts = {name: bundle.verdict(name) for name in SERVING_ORDER if name in bundle.manifest.files}
    for name, verdict in verdicts.items():
        if verdict.verdict.may_serve:
            return name
    why = "; ".join(f"{name}: {found.verdict}, {found.reason}" for name, found in verdicts.items())
    raise ArtefactError("no trained file may serve", why=why or "the bundle has none", fix=MAKE_AGAIN)


def _open_trained(checked: CheckedBundle, name: str, open_file: OpenFile) -> ActiveModel:
    checked.bundle.path(name)  # a missing file is reported before its verdict
    verdict = checked.bundle.verdict(name)
    _check_may_serve(name, verdict)
    return _opened(checked, "trained", name, verdict, None, open_file)


def open_baseline(checked: CheckedBundle, reason: str, *, open_file: OpenFile = open_file) -> ActiveModel:
    """Open the baseline, with the reason why it answers; BundleError where it may not."""
    checked.bundle.path(BASELINE)
    return _opened(checked, "baseline", BASELINE, _baseline_verdict(checked.bundle), reason, open_file)


def _opened(
    checked: CheckedBundle, kind: Kind, name: str, verdict: ArtefactVerdict, reason: str | None, open_file: OpenFile
) -> ActiveModel:
    bundle = checked.bundle
    decision_rule, sha256 = _decision_rule(bundle, kind), bundle.digest(name)
    if checked.golden is not None:
        check_answers(bundle, name, checked.golden)
    return ActiveModel(
        kind=kind,
        artefact=name,
        sha256=sha256,
        verdict=verdict,
        reason=reason,
        classifier=open_file(checked, name),
        decision_rule=decision_rule,
        version=bundle.manifest.version_of(
            sha256=sha256, network=kind, verdict=str(verdict.verdict), abstention_band=verdict.abstention_band
        ),
        binding=checked.binding,
        reference=checked.reference,
    )


def _baseline_verdict(bundle: Bundle) -> ArtefactVerdict:
    """Return the baseline's verdict; without any certificate the digest in the manifest has to do.

    `convert` keeps a float32 file only if it passed, and the baseline is one. So where the certificate of a
    bundle of schema 1 is lost the baseline answers, and is said to be UNVERIFIED. (Later bundles are bound by it.)
    """
    try:
        bundle.certificate()
    except ArtefactError as error:
        return ArtefactVerdict(Verdict.UNVERIFIED, bundle.digest(BASELINE), error.one_line)
    verdict = bundle.verdict(BASELINE)
    _check_may_serve(BASELINE, verdict)
    return verdict


def _check_may_serve(name: str, verdict: ArtefactVerdict) -> None:
    if not verdict.verdict.may_serve:
        why = f"its verdict is {verdict.verdict}: {verdict.reason}"
        raise ArtefactError(f"{name} may not serve", why=why, fix=MAKE_AGAIN)


def _decision_rule(bundle: Bundle, network: Kind) -> DecisionRule:
    try:
        return bundle.manifest.decision_rules[network]
    except KeyError:
        why = "its margin would have no threshold"
        raise BundleError(
            f"the manifest has no decision_rule of the {network} network", why=why, fix=MAKE_AGAIN
        ) from None
