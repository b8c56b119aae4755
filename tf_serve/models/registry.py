"""Which models answer, and in which versions: one immutable table, replaced as a whole, so a reader needs no lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tbconv.contract.bundle import Bundle
from tf_serve.errors import NotReady, UnknownModel
from tf_serve.fallback import ActiveModel
from tf_serve.messages import IndexEntry

MOST_REASONS = 5  # quoted by readiness; the index has all of them


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One version of one model, ready to answer."""

    name: str  # in addresses: the folder's name in MODELS_DIR, the manifest's name where one bundle is served
    version: str  # 12 hex digits over all that decides (Manifest.version_of)
    bundle: Bundle
    active: ActiveModel
    number: int | None = None  # of its folder, where versions are numbered; it names the version too
    standby: ActiveModel | None = None  # the baseline beside a trained network, opened already
    processor: dict[str, Any] | None = None  # of this machine, beside those that the file was tried on

    def is_version(self, version: str) -> bool:
        """Whether that is how a client may call this version."""
        return version == self.version or (self.number is not None and version == str(self.number))

    @property
    def trust(self) -> tuple[bool, bool, bool]:
        """How far to trust it, to be compared: films before phantoms, trained before baseline, certified before not."""
        verdict = self.active.verdict.verdict
        return not self.bundle.manifest.synthetic, self.active.kind == "trained", verdict.may_serve

    def with_altered(self, altered: tuple[str, ...]) -> LoadedModel:
        """Return it with what is known of the other files of its bundle."""
        standby = self.standby and replace(self.standby, altered=altered)
        return replace(self, active=replace(self.active, altered=altered), standby=standby)

    @property
    def description(self) -> str:
        """What answers, in words: file, kind, verdict, and whether phantoms trained it."""
        phantoms = ", trained on synthetic phantoms" if self.bundle.manifest.synthetic else ""
        return f"{self.active.artefact} ({self.active.kind}, {self.active.verdict.verdict}{phantoms})"


@dataclass(frozen=True, slots=True)
class ModelTable:
    """All that is loaded, and what is to be said of the rest."""

    models: Mapping[str, tuple[LoadedModel, ...]] = field(default_factory=dict)  # versions, the current one first
    default: str | None = None  # which model answers a request that names none
    others: tuple[IndexEntry, ...] = ()  # what is not loaded, and why

    @property
    def reasons(self) -> str:
        """Why what is not loaded is not, in words: of many the first few."""
        found = [row.reason for row in self.others if row.reason]
        more = [f"and {len(found) - MOST_REASONS} more"] if len(found) > MOST_REASONS else []
        return "; ".join([*found[:MOST_REASONS], *more])


class Registry:
    """Where routes look models up."""

    def __init__(self, table: ModelTable | None = None) -> None:
        self.table = table or ModelTable()  # replaced as a whole: a reader sees the old one or the new one

    def get(self, name: str | None = None, version: str | None = None) -> LoadedModel:
        """Return a model.

        Args:
            name: None takes the default model.
            version: None takes the current one.

        Raises:
            UnknownModel: there is no such model or version.
            NotReady: it is known and not loaded, or no name was given and nothing is loaded.
        """
        table = self.table
        versions = _versions(table, name or _default(table))
        if version is None:
            return versions[0]
        for loaded in versions:
            if loaded.is_version(version):
                return loaded
        known = ", ".join(loaded.version for loaded in versions)
        raise UnknownModel(f"{name} has no version {version!r}", why=f"it has {known}", fix="name one of these")

    def names(self) -> tuple[str, ...]:
        """Return the names of all models that answer."""
        return tuple(self.table.models)

    def versions(self, name: str) -> tuple[LoadedModel, ...]:
        """Return all loaded versions of a model, the current one first; UnknownModel where there is none."""
        return _versions(self.table, name)

    def index(self) -> list[IndexEntry]:
        """Return the repository's index: what answers first, then what does not, with the reason."""
        ready = [
            IndexEntry(name=one.name, version=one.version, state="READY", reason=one.active.reason or "")
            for versions in self.table.models.values()
            for one in versions
        ]
        return [*ready, *self.table.others]


def _default(table: ModelTable) -> str:
    if table.default is None:
        why = table.reasons or "nothing has been opened yet"
        raise NotReady("no model is loaded", why=why, fix="try again in a second")
    return table.default


def _versions(table: ModelTable, name: str) -> tuple[LoadedModel, ...]:
    versions = table.models.get(name, ())
    if versions:
        return versions
    known = [row for row in table.others if row.name == name]
    if known:
        raise NotReady(f"{name} is not loaded", why=known[0].reason or known[0].state, fix="load it, or ask again")
    why = f"there is {', '.join(table.models)}" if table.models else "none is loaded"
    raise UnknownModel(f"there is no model {name!r}", why=why, fix="POST /v2/repository/index lists them")
