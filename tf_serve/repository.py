"""What lies on the shelf brought into the table of what answers: the one place that opens, swaps, drops and refuses.

All of it runs in threads beside the event loop, one at a time; readers see whole tables only.
A swap loses nothing: who was given the old version keeps it until the answer is made, and its
interpreters go with the last reference.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import BundleError, TbconvError
from tf_serve.opening import Opening
from tf_serve.refusals import BadRequest, NotReady, UnknownModel
from tf_serve.registry import Loaded, Table
from tf_serve.shelf import Shelf
from tf_serve.shelved import Shelved, ranked
from tf_serve.wishes import WishBook, Wishes

GONE_S = 10.0  # seconds after which a model whose folder was removed stops answering; one replaced by hand is back
TRIMS = 3  # looks after a swap at which freed memory is returned: requests under way hold the old network a while
_log = logging.getLogger("tf_serve")


class Repository:
    """Everything that may answer."""

    def __init__(
        self,
        shelf: Shelf,
        opening: Opening,
        *,
        publish: Callable[[Table], None],
        book: WishBook | None = None,
        versions: int = 2,
        default: str | None = None,
    ) -> None:
        """Make it; nothing is opened yet.

        Args:
            shelf: where bundles lie.
            opening: how they are opened.
            book: what operators ask for.
            versions: how many versions of a model are held in memory: the second makes a roll back instant.
            default: the model that answers who names none; None takes the most trusted.
            publish: takes every new table.
        """
        self._shelf = shelf
        self._opening = opening
        self._book = book or WishBook()
        self._versions = versions
        self._default = default
        self._publish = publish
        self._shelved: dict[str, list[Shelved]] = {}  # by model, highest number first
        self._asked: dict[str, int] = {}
        self._table = Table()
        self._trims = 0
        self._lock = threading.RLock()

    def refresh(self) -> None:
        """Look at the shelf and at the wishes, open what is new, drop what is gone."""
        with self._lock:
            wishes = self._book.read()
            self._look()
            self._obey(wishes)
            for name, kept in self._shelved.items():
                self._hold(name, kept, wishes)
            self._show(wishes)
            self._return_memory()

    def load(self, name: str, version: str | None = None) -> Loaded:
        """Make a version the current one, even if it is trusted less than another.

        Args:
            name: the model.
            version: the first 12 digits of its digest, or its number; None reads everything anew and takes the best.

        Raises:
            UnknownModel: there is no such model or version.
            NotReady: it cannot be opened; the reason is the bundle's.
        """
        with self._lock:
            self._look()
            kept = self._kept(name)
            better = () if version is None else self._better_than(kept, version)
            self._book.change(lambda wishes: _wanted(wishes, name, better, _digests(kept)))
            self.refresh()
            return self._current(name)

    def unload(self, name: str) -> None:
        """Stop answering by a model until it is loaded again; UnknownModel where there is none."""
        with self._lock:
            self._kept(name)
            self._book.change(lambda wishes: replace(wishes, unloaded=tuple({*wishes.unloaded, name})))
            self.refresh()

    def roll_back(self, name: str) -> Loaded:
        """Put the current version aside: the next best answers, until a new one lands or this one is loaded by hand.

        Raises:
            UnknownModel: there is no such model.
            NotReady: none of its versions is loaded.
            BadRequest: there is no other version.
        """
        with self._lock:
            before, aside = self._current(name).version, self._book.read().aside.get(name, ())
            self._put_aside(name, (*aside, before))
            try:
                now = self._current(name)
            except NotReady:
                self._put_aside(name, aside)
                raise
            if now.version not in {*aside, before}:
                return now
            self._put_aside(name, aside)
            why = "a folder that is replaced leaves none; numbered folders (NAME/1, NAME/2) keep them"
            raise BadRequest(f"{name} has no version to roll back to", why=why, fix="load another one by its version")

    def drop(self, loaded: Loaded, reason: str) -> None:
        """Stop answering by a file that gave what it may not give: its bundle's baseline answers, with the reason."""
        digest = loaded.served.sha256
        with self._lock:
            if digest in self._book.read().tripped:
                return  # several films met it at once
            _log.error("%s: %s is dropped: %s", loaded.name, loaded.served.artefact, reason)
            wishes = self._book.change(lambda wishes: replace(wishes, tripped={**wishes.tripped, digest: reason}))
            self._obey(wishes)
            self._show(wishes)

    def first_error(self) -> TbconvError | None:
        """Return a stated error for which something is not loaded."""
        return next((one.error for kept in self._shelved.values() for one in kept if one.error), None)

    # what follows is called with the lock held

    def _look(self) -> None:
        """Bring what is known of the folders to what is on the shelf."""
        found = self._shelf.scan()
        if found is None:
            return  # the folder itself is away: a volume that will be mounted again
        for name in {**self._shelved, **found}:
            known = {one.place.folder: one for one in self._shelved.get(name, [])}
            for place in found.get(name, ()):
                one = known.setdefault(place.folder, Shelved(place))
                one.place, one.gone_since = place, None
            present = {place.folder for place in found.get(name, ())}
            stays = [one for one in known.values() if one.place.folder in present or self._lingers(one)]
            self._shelved[name] = sorted(stays, key=lambda one: one.place.number or 0, reverse=True)
        self._shelved = {name: kept for name, kept in self._shelved.items() if kept}

    def _lingers(self, one: Shelved) -> bool:
        if self._shelf.one_bundle:
            return True  # it was asked for by name: it answers as long as the server runs
        one.gone_since = one.gone_since or time.monotonic()
        stays = one.loaded is not None and time.monotonic() - one.gone_since < GONE_S
        if not stays:
            _log.warning("%s: its folder is gone, it does not answer any more", one.place.name)
        return stays

    def _obey(self, wishes: Wishes) -> None:
        """Open again what was asked for, drop what tripped: here or in another worker."""
        for name, kept in self._shelved.items():
            again = wishes.asked.get(name, 0) != self._asked.get(name, 0)
            self._asked[name] = wishes.asked.get(name, 0)
            for one in kept:
                if again:
                    one.by_hand, one.tried = True, None
                one.drop_tripped(wishes)

    def _hold(self, name: str, kept: list[Shelved], wishes: Wishes) -> None:
        """Hold a model's best versions in memory, and no others."""
        if name in wishes.unloaded:
            for one in kept:
                one.release("unloaded on request")
            return
        aside = wishes.aside.get(name, ())
        enough = 0
        for one in kept:  # the newest first, until enough are known that may be current
            if one.loaded is not None or (one.known is None and enough < self._versions):
                self._open_if_new(one, wishes)
            enough += one.known is not None and one.known.trained and one.known.version not in aside
        best = ranked(kept, aside)
        for one in best[: self._versions]:
            self._open_if_new(one, wishes)
        for one in best[self._versions :]:
            one.release(f"{self._versions} better versions are held")

    def _open_if_new(self, one: Shelved, wishes: Wishes) -> None:
        if one.tried == one.place.stamp:
            return
        first = self._shelf.one_bundle and one.loaded is None
        one.waits = None if first else one.place.still_arriving()
        if one.waits is None:
            one.open(self._opening, wishes)
            self._show(wishes)  # the first that is ready answers, while others are opened

    def _show(self, wishes: Wishes) -> None:
        """Publish what answers now."""
        order = {name: ranked(kept, wishes.aside.get(name, ())) for name, kept in self._shelved.items()}
        loaded = {name: tuple(one.loaded for one in row if one.loaded) for name, row in order.items()}
        models = {name: versions for name, versions in loaded.items() if versions}
        silent = [
            one for kept in self._shelved.values() for one in kept if one.loaded is None or one.error or one.waits
        ]
        table = Table(models, self._default_of(models), tuple(one.row() for one in silent))
        if table != self._table:
            self._table, self._trims = table, TRIMS
            self._publish(table)

    def _default_of(self, models: dict[str, tuple[Loaded, ...]]) -> str | None:
        if self._default is not None:
            return self._default if self._default in models else None
        return max(sorted(models), key=lambda name: models[name][0].trust, default=None)

    def _kept(self, name: str) -> list[Shelved]:
        if name not in self._shelved:
            raise UnknownModel(f"there is no model {name!r}", why="no such folder lies there", fix="see the index")
        return self._shelved[name]

    def _current(self, name: str) -> Loaded:
        order = ranked(self._kept(name), self._book.read().aside.get(name, ()))
        if not order or order[0].loaded is None:
            why = self._kept(name)[0].row().reason
            raise NotReady(f"{name} cannot be loaded", why=why, fix="bring another bundle")
        return order[0].loaded

    def _put_aside(self, name: str, aside: tuple[str, ...]) -> None:
        self._book.change(lambda wishes: replace(wishes, aside={**wishes.aside, name: aside}))
        self.refresh()

    def _better_than(self, kept: list[Shelved], version: str) -> tuple[str, ...]:
        """Return the versions that stand before one; all are opened once if it is not known which folder that is."""
        wishes = self._book.read()
        for one in kept:
            if one.known is None and not any(other.known and other.is_version(version) for other in kept):
                one.open(self._opening, wishes)
                if one.loaded is not None:
                    one.release("opened to learn its version")
        order = ranked(kept, ())
        found = next((place for place, one in enumerate(order) if one.is_version(version)), None)
        if found is None:
            why = next((one.row().reason for one in kept if one.error), "none of its folders holds it")
            raise UnknownModel(f"{kept[0].place.name} has no version {version!r}", why=why, fix="see the index")
        return tuple(one.known.version for one in order[:found] if one.known)

    def _return_memory(self) -> None:
        if self._trims > 0:
            self._trims -= 1
            return_memory()


def return_memory() -> None:
    """Give freed memory back to the system: glibc keeps 25 MB of an int8 file otherwise, 200 MB of a float16 one."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _wanted(wishes: Wishes, name: str, aside: tuple[str, ...], digests: set[str]) -> Wishes:
    return replace(
        wishes,
        unloaded=tuple(one for one in wishes.unloaded if one != name),
        aside={**wishes.aside, name: aside},
        asked={**wishes.asked, name: wishes.asked.get(name, 0) + 1},
        tripped={digest: reason for digest, reason in wishes.tripped.items() if digest not in digests},
    )


def _digests(kept: list[Shelved]) -> set[str]:
    """Return the digests of all files of a model's bundles, also of those that are not loaded."""
    found: set[str] = set()
    for one in kept:
        with contextlib.suppress(BundleError):
            found |= {record.sha256 for record in read_bundle(one.place.folder).manifest.files.values()}
    return found
