"""One folder of the shelf and what became of it: opened, waited for, refused with the reason, or let go as a spare."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tbconv.contract.errors import TbconvError
from tf_serve.opening import Opening, fall_back
from tf_serve.refusals import NotReady
from tf_serve.registry import Loaded, Row
from tf_serve.shelf import Place, Stamp
from tf_serve.wishes import Wishes

_log = logging.getLogger("tf_serve")


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a bundle that was opened, when its network is let go."""

    version: str
    trust: tuple[bool, bool, bool]
    trained: bool


@dataclass(slots=True, eq=False)
class Shelved:
    """A folder of the shelf."""

    place: Place
    loaded: Loaded | None = None
    known: Known | None = None
    tried: Stamp | None = None  # the state of its files when it was last opened
    error: TbconvError | None = None  # why it is not loaded, or why what lies there now is not
    waits: str | None = None  # what it lacks while somebody copies it
    idle: str | None = None  # why it is not held although it could be
    gone_since: float | None = None  # time.monotonic() at which its folder was missed first
    by_hand: bool = False  # somebody asked for it: it is opened anew, and may be trusted less than what was there

    def open(self, opening: Opening, wishes: Wishes) -> None:
        """Open what lies there; what was loaded before goes on where that fails or is trusted less."""
        self.tried, self.error, self.waits, self.idle = self.place.stamp, None, None, None
        start = time.monotonic()
        try:
            found = opening.open(self.place.folder, name=self.place.name, number=self.place.number)
            new = without_tripped(found, wishes)
            self._check_trust(new)
        except TbconvError as error:
            self._forget(error)
            _log.error("%s: not loaded: %s", self.place.name, error.one_line)
        except Exception:  # noqa: BLE001  (logged, and told by the index; other models go on)
            what = f"{self.place.name} cannot be loaded"
            self._forget(NotReady(what, why="an error of the server's own", fix="read its log"))
            _log.exception(what)
        else:
            self.take(new)
            reason = f"; {new.served.reason}" if new.served.reason else ""
            _log.info("%s %s: %s, %.2f s%s", new.name, new.version, new.words, time.monotonic() - start, reason)
        self.by_hand = False

    def _forget(self, error: TbconvError) -> None:
        """Keep why it does not open; what is not held and does not open has no rank any more."""
        self.error = error
        if self.loaded is None:
            self.known = None

    def take(self, new: Loaded) -> None:
        """Hold an opened version."""
        self.loaded, self.known = new, Known(new.version, new.trust, new.served.kind == "trained")

    def drop_tripped(self, wishes: Wishes) -> None:
        """Let the baseline answer where the file tripped, here or in another worker."""
        if self.loaded is None or self.loaded.served.sha256 not in wishes.tripped:
            return
        try:
            self.take(without_tripped(self.loaded, wishes))
        except NotReady as error:
            self.loaded, self.known, self.error = None, None, error

    def release(self, reason: str) -> None:
        """Let the network go; it can be opened again."""
        self.loaded, self.tried, self.error, self.idle = None, None, None, reason

    def is_version(self, version: str) -> bool:
        """Whether a client may call it so."""
        number = self.place.number
        return (self.known is not None and self.known.version == version) or (
            number is not None and str(number) == version
        )

    def row(self) -> Row:
        """Return its line in the index, beside what answers."""
        number = self.place.number
        version = "" if number is None else str(number)
        if self.error is not None:
            return Row(self.place.name, version, "UNAVAILABLE", self.error.one_line)
        state = "LOADING" if self.waits else "UNAVAILABLE"
        return Row(self.place.name, version, state, self.waits or self.idle or "not opened yet")

    def _check_trust(self, new: Loaded) -> None:
        old = self.loaded
        if old is None or self.by_hand or new.trust >= old.trust:
            return
        why = new.served.reason or f"it would be {new.words}"
        what = f"the new bundle of {new.name} is trusted less than what answers, {old.words}"
        raise NotReady(what, why=why, fix="bring a certified one, or load it by hand")


def without_tripped(loaded: Loaded, wishes: Wishes) -> Loaded:
    """Return a version, or its bundle's baseline where its file tripped; NotReady where it has none."""
    reason = wishes.tripped.get(loaded.served.sha256)
    if reason is None:
        return loaded
    fallen = fall_back(loaded, reason)
    if fallen is None:
        raise NotReady(f"{loaded.served.artefact} was dropped", why=reason, fix="bring another bundle")
    return fallen


def ranked(kept: Sequence[Shelved], aside: Sequence[str]) -> list[Shelved]:
    """Return those that can answer, best first: not put aside, then the most trusted, then the newest."""
    pairs = [(one, one.known) for one in kept if one.known is not None]
    pairs.sort(key=lambda pair: (pair[1].version not in aside, pair[1].trust, pair[0].place.number or 0), reverse=True)
    return [one for one, _ in pairs]
