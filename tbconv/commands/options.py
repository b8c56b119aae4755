"""The options that several commands take, each defined once, and what they share of starting and stopping."""

from __future__ import annotations

import importlib.util
import inspect
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tbconv.console import TerminalReporter
from tbconv.contract.errors import ConfigError

if TYPE_CHECKING:
    from tbconv.contract.signature import SignatureRule

INTERRUPTED = 130  # 128 + SIGINT, as shells count

Command = Callable[..., None]


def with_options_of(
    source: Command, *, instead_of: str, leave_out: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Give a command the options of another function in place of its `**{instead_of}`: they are defined once.

    Args:
        source: whose parameters they are.
        instead_of: name of the command's own `**` parameter, which gets all of them.
        leave_out: options that the command does not take.
    """
    theirs = [one for one in inspect.signature(source, eval_str=True).parameters.values() if one.name not in leave_out]

    def widen(command: Command) -> Command:
        parameters = inspect.signature(command, eval_str=True).parameters.values()
        own = {one.name for one in parameters}
        added = [one for one in theirs if one.name not in own]

        @wraps(command)
        def complete(*words: Any, **options: Any) -> None:
            command(*words, **({one.name: one.default for one in added} | options))

        both = [found for one in parameters for found in (added if one.name == instead_of else [one])]
        keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in both]
        complete.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # Typer reads it
        return complete

    return widen


# --- films and their labels ---


Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a folder that holds anything but films and what tells their labels.")
]


def labels_of_films(
    patient: Annotated[
        str | None, typer.Option(help=r"Regular expression that finds the patient in a file name, 'person(\d+)_' say.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="Name of the positive class, where it cannot be guessed.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The finding that makes a film positive, where a set has several.")
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(help='What makes another film negative, such as "No Finding"; others are left out.'),
    ] = None,
    uncertain: Annotated[
        str, typer.Option(help="Films of which the set is not certain: leave-out, positive or negative.")
    ] = "leave-out",
    strict: Strict = False,
) -> None:
    """State the options by which labels are read, `tbconv.api.FilmLabels`; nothing calls it."""


with_labels_of_films = with_options_of(labels_of_films, instead_of="labels")


def given_of(labels: dict[str, Any]) -> dict[str, object]:
    """Return those of the options of `labels_of_films` that were given, by the option's name."""
    unset = {one.name: one.default for one in inspect.signature(labels_of_films).parameters.values()}
    return {f"--{name}": value for name, value in labels.items() if value != unset[name]}


def given_on_the_command_line(context: typer.Context, *names: str) -> list[str]:
    """Return the options, as they are written, of those parameters that the command line gave; no variable counts."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    words = {one.name: one.opts[0] for one in context.command.params}
    return [words[name] for name in given]


LabelsFromMasks = Annotated[
    bool, typer.Option("--labels-from-masks", help="Label a film positive if its lesion mask marks any pixel.")
]
Referral = Annotated[
    str | None,
    typer.Option(
        metavar="PHRASE",
        help='What a flag calls for: "a bacteriological test" (known for tuberculosis), "a chest CT"; "" names nothing '
        "and asks for a clinician's reading.",
    ),
]


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Read numbers separated by commas.

    Raises:
        ConfigError: one of them is not a number.
    """
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        why, fix = f"it must be numbers separated by commas: {error}", f"{option} 0.485,0.456,0.406"
        raise ConfigError(f"{option} is {text!r}", why=why, fix=fix) from error


# --- output ---

Details = Annotated[bool, typer.Option("--details", help="Print the tables; the report has them always.")]
DicomOut = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for answers as DICOM SR, Secondary Capture, FHIR R4; with a DICOM film's patient.",
    ),
]
DicomFormats = Annotated[str, typer.Option(metavar="LIST", help="Which of sr, sc and fhir --dicom-out writes.")]


# --- signature ---

RequireSignature = Annotated[
    bool,
    typer.Option(
        "--require-signature",
        envvar="TBCONV_REQUIRE_SIGNATURE",
        help="Refuse anything that --public-key did not sign; its signature is expected beside it, as NAME.sig.",
    ),
]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        envvar="TBCONV_PUBLIC_KEY", help="Public key (PEM) of the required signer; giving it requires a signature."
    ),
]


def signature_rule(public_key: Path | None, *, required: bool, signature: Path | None = None) -> SignatureRule | None:
    """Return whose signature is required, by the options; None, and nothing is loaded, where none is.

    Raises:
        ConfigError: a signature is required, and no key is named or it cannot be used.
        SetupError: model-signing is not installed.
    """
    if public_key is None and not required and signature is None:
        return None
    from tbconv.contract.signature import required_signature

    return required_signature(public_key, required=required, signature=signature)


# --- start and stop ---


def require_packages(*packages: str) -> None:
    """Fail at once where a package is missing that a step would ask for later.

    Raises:
        ModuleNotFoundError: naming it; `tbconv.cli` says which extra has it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


@contextmanager
def interruptible(message: Callable[[], str]) -> Iterator[None]:
    """Let SIGTERM act as Ctrl-C, and on either print a message and exit with 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        TerminalReporter().say(message())
        raise typer.Exit(INTERRUPTED) from None
