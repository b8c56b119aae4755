"""The model directory: what lies in it, what shall be loaded, and what is loaded, swapped and dropped."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import MANIFEST, Bundle, read_bundle, read_json
from tbconv.contract.errors import BundleError, SetupError, TbconvError, printable
from tbconv.contract.files import write_json
from tbconv.contract.signature import default_place
from tf_serve.errors import BadRequest, NotReady, UnknownModel
from tf_serve.messages import IndexEntry
from tf_serve.models.loader import BundleLoader, fall_back
from tf_serve.models.registry import LoadedModel, ModelTable
from tf_serve.runtime.structure import MOST_BYTES

# --- model directory ---
# What lies in the served folder: bundles, the state of their files, and whether they are still being copied.
#
# A bundle arrives whole, by a rename (`tbconv convert` does so), or file by file, by a copy. The first is
# opened at once, the second when nothing has moved for a moment. Folders that begin with a dot are not looked
# at: a bundle that is being written is called so.
#
# Whoever may write there may write anything: a folder that cannot be read is one reason in the index, and none keeps
# another from being found.

SETTLE_S = 2.0  # seconds without a change after which a bundle that lacks files is taken as it is
SUFFIXES = (".tflite", ".json", ".npz")  # what the server reads of a bundle
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # what may stand in an address
NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)  # of a version: what 64 bits hold
MOST_ENTRIES = 2_000  # files of a bundle, versions of a model, models; a bundle has some 30 files
MOST_NAMES = 20_000  # of one folder that are read: 10 ms of each look
Stamp = tuple[tuple[str, int, int, int], ...]  # name, inode, bytes and time of the last change of each file
Compared = dict[str, tuple[tuple[str, int, int, int], str | None]]  # by file: its digest and state, what is wrong


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """A folder with a manifest, or one that cannot be looked into."""

    name: str  # of the model
    folder: Path
    number: int | None  # where versions are numbered
    stamp: Stamp
    problem: str | None = None  # why it is not even opened

    @property
    def bytes(self) -> int:
        """How much there is to read before a verdict."""
        return sum(row[2] for row in self.stamp)

    def check(self) -> None:
        """Raise NotReady where it is not even to be opened."""
        if self.problem is not None:
            raise NotReady(f"{self.folder} is not opened", why=self.problem, fix="mend or remove the folder")

    def incomplete_file(self) -> str | None:
        """Return which file a bundle still lacks while it is being copied; None when it can be opened."""
        if self.problem is not None or not _moved(self.folder):
            return None
        try:
            missing = _missing(read_bundle(self.folder))
        except BundleError:
            missing = "a manifest that can be read"
        return f"it is being copied: it lacks {missing}" if missing else None


class ModelDirectory:
    """One bundle, or a folder of bundles."""

    def __init__(self, root: Path, *, one_bundle: bool | None = None) -> None:
        """Look at a folder.

        Args:
            root: a bundle; or a folder, possibly empty, in which every folder is a model: a bundle itself, or
                numbered bundles, of which the highest good one answers.
            one_bundle: which of the two it is, as it was decided when the server started; None decides now.
        """
        self.root = root
        self.one_bundle = (root / MANIFEST).is_file() if one_bundle is None else one_bundle
        self._name = _manifest_name(root) if self.one_bundle else ""
        self._warned: frozenset[str] = frozenset()  # what is wrong with the folder itself and was logged

    def scan(self, known: Collection[str] = ()) -> dict[str, tuple[BundleFolder, ...]] | None:
        """Return the places of every model, highest number first; None while the folder itself cannot be read.

        Args:
            known: models that were there before: they are looked for first where there are too many.
        """
        if self.one_bundle:
            return {self._name: _places(self._name, self.root)}
        try:
            names = _folders(self.root, NAME)
        except OSError as error:
            self._warn_once(f"new models are not looked for: {_unreadable(error)}", holds=True)
            return None
        odd = f"it holds a {MANIFEST}, which is ignored: a folder of models was served when the server started"
        self._warn_once(odd, holds=os.path.lexists(self.root / MANIFEST))
        many = f"it holds more than {MOST_ENTRIES:,} folders, so not all are looked into"
        self._warn_once(many, holds=len(names) > MOST_ENTRIES)
        names = sorted(sorted(names, key=lambda name: (name not in known, name))[:MOST_ENTRIES])
        found = {name: _places(name, self.root / name) for name in names}
        return {name: places for name, places in found.items() if places}

    def _warn_once(self, problem: str, *, holds: bool) -> None:
        """Log what is wrong with the folder itself when it begins, not at every look."""
        if holds and problem not in self._warned:
            _log.warning("%s: %s", self.root, problem)
        self._warned = (self._warned | {problem}) if holds else (self._warned - {problem})


def _folders(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return the names in a folder that fit a pattern, but those of plain files; OSError where it holds too many."""
    with os.scandir(folder) as entries:
        read = islice(entries, MOST_NAMES)
        names = [one.name for one in read if pattern.fullmatch(one.name) and not one.is_file(follow_symlinks=False)]
        if next(entries, None) is not None:
            raise OSError(f"it holds more than {MOST_NAMES:,} files and folders")
    return names


def _places(name: str, folder: Path) -> tuple[BundleFolder, ...]:
    """Return the bundles of a model; none of what is no folder."""
    try:
        if (stamp := _stamp(folder)) is not None:
            return (BundleFolder(name, folder, None, stamp),)
        inside = [folder / number for number in _folders(folder, NUMBER)]
    except (FileNotFoundError, NotADirectoryError):  # a file, a broken link, or it went away meanwhile
        return ()
    except OSError as error:
        return (_refused(name, folder, None, _unreadable(error)),)
    if len(inside) > MOST_ENTRIES:
        return (_refused(name, folder, None, f"the folder holds more than {MOST_ENTRIES:,} versions"),)
    found: list[BundleFolder] = []
    numbers: set[int] = set()
    for path in sorted(inside, key=lambda one: (len(one.name), one.name)):  # of `7` and `007` the first is version 7
        place = _version(name, path)
        if place is not None and place.number in numbers:
            place = _refused(name, path, int(path.name), f"another folder already holds version {place.number}")
        if place is not None:
            numbers.add(int(path.name))
            found.append(place)
    return tuple(sorted(found, key=lambda one: one.number or 0, reverse=True))


def _version(name: str, folder: Path) -> BundleFolder | None:
    number = int(folder.name)
    try:
        stamp = _stamp(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return _refused(name, folder, number, _unreadable(error))
    return None if stamp is None else BundleFolder(name, folder, number, stamp)


def _refused(name: str, folder: Path, number: int | None, problem: str) -> BundleFolder:
    return BundleFolder(name, folder, number, ((problem, 0, 0, 0),), problem)


def _unreadable(error: OSError) -> str:
    return f"the folder cannot be read: {error.strerror or error}"


def _stamp(folder: Path) -> Stamp | None:
    """Return the state of a bundle's files; None where there is no manifest.

    Raises:
        OSError: the folder is none, or cannot be read, or holds more than any bundle.
    """
    with os.scandir(folder) as entries:
        rows = [(one.name, *_state_of(one)) for one in islice(entries, MOST_ENTRIES) if one.name.endswith(SUFFIXES)]
        more = next(entries, None) is not None
    if not os.path.lexists(folder / MANIFEST):
        return None
    if more:
        raise OSError(f"it holds more than {MOST_ENTRIES:,} files")
    if large := [row[0] for row in rows if row[2] > MOST_BYTES]:
        raise OSError(f"{printable(large[0])} is larger than the {MOST_BYTES >> 30} GiB that a network can have")
    signature = default_place(folder)
    with contextlib.suppress(OSError):  # it may come after the bundle, and be the reason why that is opened
        rows.append((signature.name, *_state(signature.stat())))
    return tuple(sorted(rows))


def _state_of(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    try:
        return _state(entry.stat())
    except OSError:  # a link that leads nowhere or around in circles is a state, too
        with contextlib.suppress(OSError):
            return _state(entry.stat(follow_symlinks=False))
        return 0, 0, 0


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_ctime_ns  # which, unlike mtime, nobody sets


def _compare(bundle: Bundle, before: Compared) -> Compared:
    """Compare every file of a bundle with its digest, those again whose state or digest is another than before."""
    found: Compared = {}
    for name in (MANIFEST, *bundle.manifest.files):
        digest = bundle.sha256 if name == MANIFEST else bundle.manifest.files[name].sha256
        try:
            state = (digest, *_state((bundle.root / name).stat()))
        except OSError:
            state = (digest, 0, 0, 0)
        known = before.get(name)
        found[name] = known if known is not None and known[0] == state else (state, bundle.problem_of(name))
    return found


def _missing(bundle: Bundle) -> str | None:
    for name, record in bundle.manifest.files.items():
        place = bundle.root / name
        if not place.is_file() or place.stat().st_size < record.bytes:
            return name
    return None


def _moved(folder: Path) -> bool:
    """Whether something in a folder changed a moment ago."""
    latest, seen = 0.0, 0
    try:
        latest = folder.lstat().st_ctime
    except OSError:
        return True
    for root, folders, files in os.walk(folder):
        seen += len(folders) + len(files)
        if seen > MOST_ENTRIES:
            return False  # no bundle has so many, and the look must end
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                latest = max(latest, Path(root, name).lstat().st_ctime)
    return time.time() - latest < SETTLE_S


def _manifest_name(root: Path) -> str:
    try:
        return read_bundle(root).manifest.name
    except BundleError:
        return root.name


_log = logging.getLogger("tf_serve")

# --- desired state ---
# What operators requested and which files failed: apart from the model directory, and the same for all workers.
#
# Workers are processes; a request to load, unload or roll back reaches one of them. So it is written
# into a small file in the server's own folder, and every worker looks there as often as at the models.


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What is to hold for models by name, and for files by digest."""

    unloaded: tuple[str, ...] = ()
    rolled_back: dict[str, tuple[str, ...]] = field(default_factory=dict)  # versions that are not to be the current one
    load_requests: dict[str, int] = field(default_factory=dict)  # how often a load was requested: each opens it again
    failed: dict[str, str] = field(default_factory=dict)  # SHA-256 of a dropped file: the reason

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DesiredState:
        """Read what `asdict` wrote; KeyError, TypeError, ValueError or AttributeError on anything else."""
        rolled_back = {name: tuple(map(str, versions)) for name, versions in value["rolled_back"].items()}
        requests = {name: int(count) for name, count in value["load_requests"].items()}
        failed = {digest: str(reason) for digest, reason in value["failed"].items()}
        return cls(tuple(map(str, value["unloaded"])), rolled_back, requests, failed)


class DesiredStateStore:
    """The one place where the desired state is read and changed."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the store.

        Args:
            folder: shared by all workers; None keeps the state in this process.
        """
        self._file = folder and folder / "desired_state.json"
        self._lock = folder and folder / "desired_state.lock"
        self._own = DesiredState()  # also what the file said when it could be read last
        self._damage = ""

    def read(self) -> DesiredState:
        """Return what holds now; what held before where the file is damaged."""
        if self._file is None or not os.path.lexists(self._file):
            return self._own
        try:
            self._own = DesiredState.from_json(read_json(self._file, keys_of_users=True))
            self._damage = ""
        except (BundleError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            if str(error) != self._damage:
                self._damage = str(error)
                _log.error("the operators' requests cannot be read; the last valid ones stay in force: %s", error)
        return self._own

    def change(self, how: Callable[[DesiredState], DesiredState]) -> DesiredState:
        """Replace what holds by what `how` makes of it, one process at a time."""
        with self._alone():
            desired = how(self.read())
            if self._file is not None:
                write_json(self._file, asdict(desired))
            self._own = desired
        return desired

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self._lock is None:
            yield
            return
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


# --- model entry ---
# One bundle folder and its state: loaded, still being copied, refused with the reason, or unloaded.


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a bundle that was opened, when its network is let go."""

    version: str
    trust: tuple[bool, bool, bool]
    trained: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One opening of a bundle folder, which may take long."""

    place: BundleFolder  # as it was when it began
    by_request: bool  # it may have a lower trust than what is there
    begun: float  # time.monotonic()
    again: bool = False  # of files that were tried before, since this machine lacked something

    def open(self, loader: BundleLoader) -> LoadedModel | Exception:
        """Open what lies there, or return why that fails: it is kept to this folder."""
        try:
            self.place.check()
            return loader.open(self.place.folder, name=self.place.name, number=self.place.number)
        except Exception as error:  # noqa: BLE001  (`ModelEntry.finish` raises, logs and shows it)
            return error


LONGEST_REASON = 1_000  # characters in the index; readiness and errors quote it
RETRY_S = 10.0  # seconds after which a bundle is opened again that met a full disk, or a machine without processes


@dataclass(slots=True, eq=False)
class ModelEntry:
    """A bundle folder and its state."""

    place: BundleFolder
    loaded: LoadedModel | None = None
    known: Known | None = None
    tried_stamp: Stamp | None = None  # the state of its files when it was last opened
    retry_at: float | None = None  # time.monotonic() at which it is opened again though nothing of it changed
    error: TbconvError | None = None  # why it is not loaded, or why what lies there now is not
    incomplete: str | None = None  # what it lacks while it is being copied
    unloaded_because: str | None = None  # why it is not held although it could be
    missing_since: float | None = None  # time.monotonic() at which its folder was missed first
    compared: Compared = field(default_factory=dict)  # all files of its bundle with their digests
    by_request: bool = False  # a load was requested: it is opened anew, and may have a lower trust than what was there

    @property
    def due(self) -> bool:
        """Whether it is to be opened: its files changed, or what this machine lacked may be there now."""
        retry = self.retry_at is not None and time.monotonic() >= self.retry_at
        return retry or self.tried_stamp != self.place.stamp

    def begin(self) -> Attempt:
        """Note that what lies there now is being opened."""
        again = self.tried_stamp == self.place.stamp
        attempt = Attempt(self.place, self.by_request, time.monotonic(), again=again)
        self.tried_stamp, self.retry_at, self.incomplete, self.by_request = self.place.stamp, None, None, False
        return attempt

    def finish(self, attempt: Attempt, found: LoadedModel | Exception, desired: DesiredState) -> bool:
        """Hold what was opened; what was loaded before goes on where that failed or is trusted less.

        Args:
            attempt: from `begin`.
            found: what came of it.
            desired: as it holds now, which may be another state than when the attempt began.

        Returns:
            Whether it was refused, for another reason than before.
        """
        before, self.error, self.unloaded_because = self.error, None, None
        try:
            new = self._accepted(attempt, found, desired)
        except TbconvError as error:
            if isinstance(error, SetupError):  # this machine lacks something, perhaps for a moment
                self.retry_at = time.monotonic() + RETRY_S
            self._forget(error)
            same = before is not None and attempt.again and before.one_line == error.one_line
            if not same:
                _log.error("%s: not loaded: %s", self.place.name, error.one_line)
            return not same
        except Exception as error:  # noqa: BLE001  (logged, and shown by the index; other models go on)
            self.fail(error)
            return True
        self.take(new)
        reason = f"; {new.active.reason}" if new.active.reason else ""
        seconds = time.monotonic() - attempt.begun
        _log.info("%s %s: %s, %.2f s%s", new.name, new.version, new.description, seconds, reason)
        return False

    def fail(self, error: Exception) -> None:
        """Keep an error of the program's own to this folder: it is not tried again before it changes."""
        what = f"{self.place.name} cannot be loaded"
        self.tried_stamp, self.retry_at, self.incomplete = self.place.stamp, None, None
        self._forget(NotReady(what, why="internal server error", fix="see the server log"))
        _log.error(what, exc_info=error)

    def _forget(self, error: TbconvError) -> None:
        """Keep why it does not open; what is not held and does not open has no rank any more."""
        self.error = error
        if self.loaded is None:
            self.known = None

    def take(self, new: LoadedModel) -> None:
        """Hold an opened version."""
        self.loaded, self.known = new, Known(new.version, new.trust, new.active.kind == "trained")

    def drop_failed(self, desired: DesiredState) -> None:
        """Let the baseline answer where the file failed, here or in another worker."""
        if self.loaded is None or self.loaded.active.sha256 not in desired.failed:
            return
        try:
            self.take(without_failed(self.loaded, desired))
        except NotReady as error:
            self.loaded, self.known, self.error = None, None, error

    def release(self, reason: str) -> None:
        """Let the network go; it can be opened again."""
        self.loaded, self.tried_stamp, self.retry_at, self.error, self.unloaded_because = None, None, None, None, reason

    def is_version(self, version: str) -> bool:
        """Whether a client may call it so."""
        number = self.place.number
        return (self.known is not None and self.known.version == version) or (
            number is not None and str(number) == version
        )

    def row(self) -> IndexEntry:
        """Return its entry in the index, beside what answers."""
        number, loading = self.place.number, self.error is None and self.incomplete is not None
        return IndexEntry(
            name=self.place.name,
            version="" if number is None else str(number),
            state="LOADING" if loading else "UNAVAILABLE",
            reason=printable(
                self.error.one_line if self.error else self.incomplete or self.unloaded_because or "not opened yet",
                most=LONGEST_REASON,
            ),
        )

    def _accepted(self, attempt: Attempt, found: LoadedModel | Exception, desired: DesiredState) -> LoadedModel:
        """Return what may answer of what was opened; raise where it was not, or has a lower trust than the old one."""
        if isinstance(found, Exception):
            raise found
        new, old = without_failed(found, desired), self.loaded
        if old is None or attempt.by_request or new.trust >= old.trust:
            return new
        why = new.active.reason or f"it would be {new.description}"
        what = f"the new bundle of {new.name} has a lower trust than the active one, {old.description}"
        raise NotReady(what, why=why, fix="install a certified bundle, or load this one explicitly")


def without_failed(loaded: LoadedModel, desired: DesiredState) -> LoadedModel:
    """Return a version, or its bundle's baseline where its file failed; NotReady where it has none."""
    reason = desired.failed.get(loaded.active.sha256)
    if reason is None:
        return loaded
    fallen = fall_back(loaded, reason)
    if fallen is None:
        raise NotReady(f"{loaded.active.artefact} was disabled", why=reason, fix="copy another bundle there")
    return fallen


def ranked(kept: Sequence[ModelEntry], rolled_back: Sequence[str]) -> list[ModelEntry]:
    """Return those that can answer, best first: not put aside, then the most trusted, then the newest."""
    pairs = [(one, one.known) for one in kept if one.known is not None]
    pairs.sort(
        key=lambda pair: (pair[1].version not in rolled_back, pair[1].trust, pair[0].place.number or 0), reverse=True
    )
    return [one for one, _ in pairs]


# --- repository ---
# Brings the model directory into the table of what answers: the one place that opens, swaps, disables and refuses.
#
# All of it runs in threads beside the event loop. One of them at a time looks and opens, which may take minutes; what
# is loaded is changed under another lock, which nobody holds meanwhile, so that a network is disabled, unloaded or
# rolled back at once. Readers see whole tables only.
# A swap loses nothing: who was given the old version keeps it until the answer is made, and its
# interpreters go with the last reference.

ON_REQUEST = "unloaded on request"
MOST_NAMED = 5  # changed files of a line of the log
REMOVAL_GRACE_S = (
    10.0  # seconds after which a model whose folder was removed stops answering; one replaced by hand is back
)
LOOK_S = 0.5  # seconds of opening bundles after which the directory is looked at again
TRIMS = 3  # looks after a swap at which freed memory is returned: requests under way hold the old network a while


class Repository:
    """Everything that may answer."""

    def __init__(
        self,
        directory: ModelDirectory,
        loader: BundleLoader,
        *,
        publish: Callable[[ModelTable], None],
        refused: Callable[[TbconvError], None] | None = None,
        store: DesiredStateStore | None = None,
        versions: int = 2,
        default: str | None = None,
    ) -> None:
        """Make it; nothing is opened yet.

        Args:
            directory: where bundles lie.
            loader: how they are opened.
            store: what operators want loaded.
            versions: how many versions of a model are held in memory: the second makes a roll back instant.
            default: the model that answers who names none; None takes the most trusted.
            publish: takes every new table.
            refused: takes every error for which a folder was not loaded, once a change of it.
        """
        self._directory = directory
        self._loader = loader
        self._store = store or DesiredStateStore()
        self._versions = versions
        self._default = default
        self._publish, self._refused = publish, refused
        self._entries: dict[str, list[ModelEntry]] = {}  # by model, highest number first
        self._handled_loads: dict[str, int] = {}
        self._table = ModelTable()
        self._trims = 0
        self._opening = threading.RLock()  # held by who scans and opens; taken before the other
        self._lock = threading.RLock()  # held while entries, desired state or table change

    def refresh(self) -> None:
        """Scan the directory and the desired state, open what is new, unload what is gone."""
        with self._opening:
            self._scan()
            with self._lock:
                self._apply_requests(self._store.read())
            self._load_all()
            with self._lock:
                self._publish_table(self._store.read())
            self._return_memory()

    def load(self, name: str, version: str | None = None) -> LoadedModel:
        """Make a version the current one, even if it is trusted less than another.

        Args:
            name: the model.
            version: the first 12 digits of its digest, or its number; None reads everything anew and takes the best.

        Raises:
            UnknownModel: there is no such model or version.
            NotReady: it cannot be opened; the reason is the bundle's.
        """
        with self._opening:
            self._scan()
            kept = self._kept(name)
            better, digests = () if version is None else self._better_than(kept, version), _digests(kept)
            with self._lock:
                self._store.change(lambda desired: _wanted(desired, name, better, digests))
            self.refresh()
            return self._current(name)

    def unload(self, name: str) -> None:
        """Stop answering by a model until it is loaded again; UnknownModel where there is none."""
        with self._lock:
            kept = self._kept(name)
            desired = self._store.change(lambda desired: replace(desired, unloaded=tuple({*desired.unloaded, name})))
            for one in kept:
                one.release(ON_REQUEST)
            self._publish_table(desired)

    def roll_back(self, name: str) -> LoadedModel:
        """Put the current version aside: the next best answers, until a new one lands or this one is loaded by hand.

        Raises:
            UnknownModel: there is no such model.
            NotReady: none of its versions is loaded.
            BadRequest: there is no other version.
        """
        with self._lock:
            before, rolled_back = self._current(name).version, self._store.read().rolled_back.get(name, ())
            aside = (*rolled_back, before)
            best = ranked(self._kept(name), aside)[0].loaded
            if best is not None and best.version not in aside:  # it is held: nobody waits for what is being opened
                self._publish_table(self._set_rolled_back(name, aside))
                return best
        with self._opening:
            self._set_rolled_back(name, aside)
            self.refresh()
            try:
                now = self._current(name)
            except NotReady:
                self._set_rolled_back(name, rolled_back)
                self.refresh()
                raise
            if now.version not in aside:
                return now
            self._set_rolled_back(name, rolled_back)
            self.refresh()
            why = "a folder that is replaced leaves none; numbered folders (NAME/1, NAME/2) keep them"
            raise BadRequest(f"{name} has no version to roll back to", why=why, fix="load another one by its version")

    def drop(self, loaded: LoadedModel, reason: str) -> None:
        """Stop answering by a file that returned an invalid output: its bundle's baseline answers, with the reason."""
        digest = loaded.active.sha256
        with self._lock:
            if digest in self._store.read().failed:
                return  # several films met it at once
            _log.error("%s: %s is disabled: %s", loaded.name, loaded.active.artefact, reason)
            fail = partial(_with_failed, digest=digest, reason=reason)
            try:
                desired = self._store.change(fail)
            except OSError as error:  # a full disk: the other workers will meet it themselves
                _log.error("the other workers are not told: %s", error)
                desired = fail(self._store.read())
            self._apply_requests(desired)
            self._publish_table(desired)

    def check_files(self) -> None:
        """Hold every file of the bundles that answer to its digest, and mark those models whose other files changed.

        The first time reads hundreds of MB, so it is done without the lock; afterwards only what changed is read.
        """
        with self._lock:
            entries = [(one, one.loaded) for kept in self._entries.values() for one in kept if one.loaded]
        for one, loaded in entries:
            found = _compare(loaded.bundle, one.compared)
            altered = tuple(problem for _, problem in found.values() if problem)
            with self._lock:
                one.compared = found
                if one.loaded is None or one.loaded.bundle is not loaded.bundle or one.loaded.active.altered == altered:
                    continue
                if altered:
                    said = "; ".join(altered[:MOST_NAMED])
                    _log.warning("%s: other files of its bundle changed: %s", loaded.name, said)
                one.loaded = one.loaded.with_altered(altered)
                self._publish_table(self._store.read())

    def first_error(self) -> TbconvError | None:
        """Return an expected error for which something is not loaded."""
        return next((one.error for kept in self._entries.values() for one in kept if one.error), None)

    # what follows is called with the lock held, but where it says that it looks at the disk or opens

    def _scan(self) -> None:
        """Bring the entries to what lies in the directory; it is looked at without the lock."""
        found = self._directory.scan(self._entries)
        if found is not None:  # else the folder itself is away: a volume that will be mounted again
            with self._lock:
                self._take(found)

    def _take(self, found: dict[str, tuple[BundleFolder, ...]]) -> None:
        for name in {**self._entries, **found}:
            known = {one.place.folder: one for one in self._entries.get(name, [])}
            for place in found.get(name, ()):
                one = known.setdefault(place.folder, ModelEntry(place))
                one.place, one.missing_since = place, None
            present = {place.folder for place in found.get(name, ())}
            hidden = {place.folder for place in found.get(name, ()) if place.problem is not None}  # it cannot be read
            stays = [
                one
                for one in known.values()
                if one.place.folder in present or one.place.folder.parent in hidden or self._stays_loaded(one)
            ]
            self._entries[name] = sorted(stays, key=lambda one: one.place.number or 0, reverse=True)
        self._entries = {name: kept for name, kept in self._entries.items() if kept}

    def _stays_loaded(self, one: ModelEntry) -> bool:
        if self._directory.one_bundle:
            return True  # it was named on the command line: it answers as long as the server runs
        one.missing_since = one.missing_since or time.monotonic()
        stays = one.loaded is not None and time.monotonic() - one.missing_since < REMOVAL_GRACE_S
        if not stays and one.place.problem is None:
            unloaded = "; the model is unloaded" if one.loaded is not None else ""
            _log.warning("%s: its folder was removed%s", one.place.name, unloaded)
        return stays

    def _apply_requests(self, desired: DesiredState) -> None:
        """Open again what was requested, disable what failed: here or in another worker."""
        for name, kept in self._entries.items():
            again = desired.load_requests.get(name, 0) != self._handled_loads.get(name, 0)
            self._handled_loads[name] = desired.load_requests.get(name, 0)
            for one in kept:
                if again:
                    one.by_request, one.tried_stamp = True, None
                one.drop_failed(desired)

    def _load_all(self) -> None:
        """Bring every model to what shall be loaded, the smallest first: no large one makes others wait long.

        It opens. While it takes long, what lands meanwhile is found and takes its turn.
        """
        waiting, done, looked = deque(self._by_size()), set[str](), time.monotonic()
        while waiting:
            name = waiting.popleft()
            done.add(name)
            try:
                self._load_best(name)
            except Exception as error:  # noqa: BLE001  (kept to this model)
                with self._lock:
                    for one in self._entries[name]:
                        self._fail(one, error)
            if time.monotonic() - looked > LOOK_S:
                self._scan()
                waiting, looked = deque(one for one in self._by_size() if one not in done), time.monotonic()

    def _by_size(self) -> list[str]:
        return sorted(self._entries, key=lambda name: sum(one.place.bytes for one in self._entries[name]))

    def _load_best(self, name: str) -> None:
        """Hold a model's best versions in memory, and no others; it opens."""
        with self._lock:
            kept, desired = self._entries[name], self._store.read()
            if name in desired.unloaded:
                for one in kept:
                    one.release(ON_REQUEST)
                return
        rolled_back = desired.rolled_back.get(name, ())
        enough = 0
        for one in kept:  # the newest first, until enough are known that may be current
            if one.loaded is not None or (one.known is None and enough < self._versions):
                self._open_if_new(one)
            known = one.known
            enough += known is not None and known.trained and known.version not in rolled_back
        best = ranked(kept, rolled_back)
        for one in best[: self._versions]:
            self._open_if_new(one)
        with self._lock:
            for one in best[self._versions :]:
                one.release(f"{self._versions} better versions are held")

    def _open_if_new(self, one: ModelEntry) -> None:
        """Open what changed; it opens."""
        if not one.due:
            return
        try:
            incomplete = None if self._directory.one_bundle and one.loaded is None else one.place.incomplete_file()
        except Exception as error:  # noqa: BLE001  (kept to this folder)
            with self._lock:
                self._fail(one, error)
            return
        with self._lock:
            one.incomplete = incomplete
            if one.place.name in self._store.read().unloaded:
                return  # a moment ago
        if incomplete is None:
            self._open(one)

    def _open(self, one: ModelEntry) -> None:
        """Open what lies there, and hold it where that is still wanted; it opens, and nobody waits for the lock."""
        with self._lock:
            attempt = one.begin()
        found = attempt.open(self._loader)
        with self._lock:
            desired = self._store.read()
            if one.finish(attempt, found, desired) and one.error is not None and self._refused is not None:
                self._refused(one.error)
            if one.place.name in desired.unloaded:
                one.release(ON_REQUEST)
            self._publish_table(desired)  # the first that is ready answers, while others are opened

    def _fail(self, one: ModelEntry, error: Exception) -> None:
        one.fail(error)
        if one.error is not None and self._refused is not None:
            self._refused(one.error)

    def _publish_table(self, desired: DesiredState) -> None:
        """Publish what answers now."""
        order = {name: ranked(kept, desired.rolled_back.get(name, ())) for name, kept in self._entries.items()}
        loaded = {name: tuple(one.loaded for one in row if one.loaded) for name, row in order.items()}
        models = {name: versions for name, versions in loaded.items() if versions}
        silent = [
            one for kept in self._entries.values() for one in kept if one.loaded is None or one.error or one.incomplete
        ]
        table = ModelTable(models, self._default_of(models), tuple(one.row() for one in silent))
        if table != self._table:
            self._table, self._trims = table, TRIMS
            self._publish(table)

    def _default_of(self, models: dict[str, tuple[LoadedModel, ...]]) -> str | None:
        if self._default is not None:
            return self._default if self._default in models else None
        return max(sorted(models), key=lambda name: models[name][0].trust, default=None)

    def _kept(self, name: str) -> list[ModelEntry]:
        if name not in self._entries:
            raise UnknownModel(f"there is no model {name!r}", why="no such folder lies there", fix="see the index")
        return self._entries[name]

    def _current(self, name: str) -> LoadedModel:
        with self._lock:
            desired = self._store.read()
        order = ranked(self._kept(name), desired.rolled_back.get(name, ()))
        if not order or order[0].loaded is None:
            why = self._kept(name)[0].row().reason
            raise NotReady(f"{name} cannot be loaded", why=why, fix="copy another bundle there")
        return order[0].loaded

    def _set_rolled_back(self, name: str, rolled_back: tuple[str, ...]) -> DesiredState:
        with self._lock:
            return self._store.change(
                lambda desired: replace(desired, rolled_back={**desired.rolled_back, name: rolled_back})
            )

    def _better_than(self, kept: list[ModelEntry], version: str) -> tuple[str, ...]:
        """Return the versions that stand before one; it opens all once if it is not known which folder that is."""
        for one in kept:
            if one.known is None and not any(other.known and other.is_version(version) for other in kept):
                self._open(one)
                with self._lock:
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


def _wanted(desired: DesiredState, name: str, rolled_back: tuple[str, ...], digests: set[str]) -> DesiredState:
    return replace(
        desired,
        unloaded=tuple(one for one in desired.unloaded if one != name),
        rolled_back={**desired.rolled_back, name: rolled_back},
        load_requests={**desired.load_requests, name: desired.load_requests.get(name, 0) + 1},
        failed={digest: reason for digest, reason in desired.failed.items() if digest not in digests},
    )


def _with_failed(desired: DesiredState, *, digest: str, reason: str) -> DesiredState:
    return replace(desired, failed={**desired.failed, digest: reason})


def _digests(kept: list[ModelEntry]) -> set[str]:
    """Return the digests of all files of a model's bundles, also of those that are not loaded."""
    found: set[str] = set()
    for one in kept:
        with contextlib.suppress(BundleError, OSError):
            found |= {record.sha256 for record in read_bundle(one.place.folder).manifest.files.values()}
    return found
