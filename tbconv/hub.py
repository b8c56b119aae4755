"""`tbconv push`: a bundle as a model repository of the Hugging Face Hub, every file as it was certified."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tbconv.contract import __version__
from tbconv.contract.bundle import MANIFEST, Bundle, private_copy
from tbconv.contract.certificate import Certificate, Verdict
from tbconv.contract.consistency import check_binding
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError, Referral, Reporter, SetupError, printable
from tbconv.contract.signature import SignatureRule
from tbconv.report_kit.front_matter import FENCE, front_matter

README, CARD = "README.md", "model_card.md"
OF_THE_HUB = frozenset({".gitattributes", README})  # what a repository has of its own
# Of the library: nobody but the Hub hears of a push, and progress is the reporter's.
_OFF = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PushConfig:
    """Arguments of `tbconv push`."""

    bundle: Path
    repo: str  # OWNER/NAME, or NAME of the account whose token is used
    public: bool = False  # of a repository that is made; one that is there keeps what it is
    uncertified: bool = False  # push it though no trained file may serve
    signature: SignatureRule | None = None  # whose signature it needs


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was pushed where."""

    commit: str  # its address
    words: Referral  # of the bundle


def push(config: PushConfig, reporter: Reporter) -> Pushed:
    """Push a bundle to a repository, which is made where it is not there and then holds this bundle alone.

    Args:
        config: what and where.
        reporter: gets a line a step.

    Returns:
        The address of the commit, and the bundle's words.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: no trained file of it is certified to serve, or its manifest is not the one that was certified.
        ConfigError: the repository holds something else, or has a name that the Hub does not take.
        SetupError: there is no token, or the Hub refuses or cannot be reached.
    """
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)
    from huggingface_hub import HfApi, get_token

    with private_copy(config.bundle) as bundle:
        if config.signature is not None:
            config.signature.check_bundle(replace(bundle, root=config.bundle))
        certificate = _require_certified(bundle, config)
        if get_token() is None:
            what, why = "there is no token of the Hugging Face Hub", "neither $HF_TOKEN nor a login holds one"
            raise SetupError(what, why=why, fix="hf auth login, or HF_TOKEN=... tbconv push ...")
        (bundle.root / README).write_text(readme(bundle, certificate, config.repo), encoding="utf-8")
        api = HfApi(library_name="tbconv", library_version=__version__)
        with _errors_stated(config.repo):
            made = api.create_repo(config.repo, private=not config.public, exist_ok=True)
            _require_ours(api.list_repo_files(made.repo_id), made.repo_id)
            size = sum(record.bytes for record in bundle.manifest.files.values())
            reporter.say(f"{len(bundle.manifest.files) + 2} files, {size / 1e6:.0f} MB, to {made.repo_id}")
            done = api.upload_folder(
                repo_id=made.repo_id,
                folder_path=bundle.root,
                commit_message=f"Bundle {bundle.manifest.name}, manifest {bundle.sha256[:12]}",
                delete_patterns="*",  # of an older bundle: a file that this one has not
            )
    return Pushed(str(done.commit_url), bundle.manifest.words)


def _require_certified(bundle: Bundle, config: PushConfig) -> Certificate:
    """Return the certificate; refuse a bundle of which no trained file may serve, unless that is wished."""
    check_binding(bundle)
    try:
        certificate = bundle.certificate()
        verdicts = {
            one.path: bundle.verdict(one.path).verdict
            for one in bundle.manifest.artefacts
            if one.network == "trained" and one.is_served
        }
    except ArtefactError as error:
        if not config.uncertified:
            raise
        raise BundleError(error.what, why=error.why, fix=error.fix) from error
    if any(verdict.may_serve for verdict in verdicts.values()) or config.uncertified:
        return certificate
    found = ", ".join(f"{path} {verdict}" for path, verdict in verdicts.items()) or "it holds the baseline alone"
    raise BundleError(
        f"{config.bundle} is not certified to serve",
        why=f"no trained file of it is {Verdict.CERTIFIED} or {Verdict.BOUNDED}: {found}",
        fix=f"tbconv convert RUN --out BUNDLE, or push it as what it is: tbconv push {config.bundle} {config.repo} "
        "--uncertified",
    )


def _require_ours(files: list[str], repo: str) -> None:
    """Refuse a repository with other things: a push replaces what is there."""
    others = sorted(set(files) - OF_THE_HUB)
    if others and MANIFEST not in others:
        why = f"it has {others[0]} and no {MANIFEST}, and a push replaces all that is there"
        raise ConfigError(f"{repo} holds something else than a bundle", why=why, fix="another repository's name")


def readme(bundle: Bundle, certificate: Certificate, repo: str) -> str:
    """Return the repository's page: the bundle's card, above it what it is not, below it how it is checked and served.

    Args:
        bundle: whose card it is; one that has no front matter yet gets it.
        certificate: of the bundle.
        repo: where it will be.
    """
    card = bundle.read(CARD).decode() if CARD in bundle.manifest.files else f"# {bundle.manifest.name}\n"
    head, rest = _split(card)
    head = head or front_matter(bundle.manifest, certificate)
    unfit = [path for path, row in certificate.artefacts.items() if not row.verdict.may_serve]
    warnings = [f"**{bundle.manifest.words.disclaimer}**"]
    if bundle.manifest.synthetic:
        warnings.append("Trained on synthetic phantoms: not for patients' films.")
    if unfit:
        warnings.append(f"Not certified, for study alone: {', '.join(f'`{path}`' for path in unfit)}.")
    quoted = "".join(f"> {line}\n>\n" for line in warnings).removesuffix(">\n")
    return f"""{head}
{quoted}
{rest.strip()}

## Check it and serve it

```sh
hf download {repo} --local-dir bundle
tbconv verify bundle --quick
tbconv serve bundle
```

`manifest.json` has the SHA-256 {bundle.sha256}; it holds the digest of every other file but this page.
"""


def _split(card: str) -> tuple[str, str]:
    """Return the front matter with its fences, empty where there is none, and the rest."""
    if not card.startswith(FENCE):
        return "", card
    head, fence, rest = card.removeprefix(FENCE).partition(f"\n{FENCE}")
    return (f"{FENCE}{head}{fence}", rest) if fence else ("", card)


@contextmanager
def _errors_stated(repo: str) -> Iterator[None]:
    """State what the Hub or the way there refuses."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"{repo!r} is no name of a repository", why=_one_line(error), fix="OWNER/NAME") from error
    except HfHubHTTPError as error:
        why, fix = _one_line(error), "a token that may write there: hf auth login"
        raise SetupError(f"the Hub refuses {repo}", why=why, fix=fix) from error
    except Exception as error:
        if not (isinstance(error, OSError) or type(error).__module__.startswith("httpx")):  # its client has had names
            raise
        why, fix = _one_line(error), "run the command again; what was sent already is not sent twice"
        raise SetupError("the Hub cannot be reached", why=why, fix=fix) from error


def _one_line(error: Exception) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__
