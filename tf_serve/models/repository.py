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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import MANIFEST, Bundle, read_bundle, read_json
from tbconv.contract.errors import BundleError, TbconvError, printable
from tbconv.contract.files import write_json
from tbconv.contract.signature import default_place
from tf_serve.errors import BadRequest, NotReady, UnknownModel
from tf_serve.messages import IndexEntry
from tf_serve.models.loader import BundleLoader, fall_back
from tf_serve.models.registry import LoadedModel, ModelTable

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
MOST_ENTRIES = 2_000  # of one folder that are looked at; a bundle has some 30
MOST_BYTES = 2 << 30  # of one file: no `.tflite` can be larger, and its digest takes two seconds
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

    def __init__(self, root: Path) -> None:
        """Look at a folder.

        Args:
            root: a bundle; or a folder, possibly empty, in which every folder is a model: a bundle itself, or
                numbered bundles, of which the highest good one answers.
        """
        self.root = root
        self.one_bundle = (root / MANIFEST).is_file()
        self._name = _manifest_name(root) if self.one_bundle else ""

    def scan(self) -> dict[str, tuple[BundleFolder, ...]] | None:
        """Return the places of every model, highest number first; None while the folder itself cannot be read."""
        try:
            if self.one_bundle:
                return {self._name: _places(self._name, self.root)}
            names = [path.name for path in self.root.iterdir() if NAME.fullmatch(path.name)]
        except OSError:
            return None
        found = {name: _places(name, self.root / name) for name in sorted(names)}
        return {name: places for name, places in found.items() if places}


def _places(name: str, folder: Path) -> tuple[BundleFolder, ...]:
    """Return the bundles of a model; none of what is no folder."""
    try:
        if (stamp := _stamp(folder)) is not None:
            return (BundleFolder(name, folder, None, stamp),)
        with os.scandir(folder) as entries:
            inside = [Path(one.path) for one in islice(entries, MOST_ENTRIES) if NUMBER.fullmatch(one.name)]
    except (FileNotFoundError, NotADirectoryError):  # a file, a broken link, or it went away meanwhile
        return ()
    except OSError as error:
        return (_refused(name, folder, None, _unreadable(error)),)
    found: list[BundleFolder] = []
    numbers: set[int] = set()
    for path in sorted(inside, key=lambda one: (len(one.name), one.name)):  # of `7` and `007` the first is version 7
        place = _version(name, path)
        if place is not None and place.number in numbers:
            place = _refused(name, path, int(path.name), f"another folder is version {place.number} already")
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
        raise OSError(f"{printable(large[0])} is larger than the {MOST_BYTES >> 30} GiB that a .tflite can have")
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
                _log.error("what operators requested cannot be read, so what held before goes on: %s", error)
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


LONGEST_REASON = 1_000  # characters in the index; readiness and errors quote it


@dataclass(slots=True, eq=False)
class ModelEntry:
    """A bundle folder and its state."""

    place: BundleFolder
    loaded: LoadedModel | None = None
    known: Known | None = None
    tried_stamp: Stamp | None = None  # the state of its files when it was last opened
    error: TbconvError | None = None  # why it is not loaded, or why what lies there now is not
    incomplete: str | None = None  # what it lacks while it is being copied
    unloaded_because: str | None = None  # why it is not held although it could be
    missing_since: float | None = None  # time.monotonic() at which its folder was missed first
    compared: Compared = field(default_factory=dict)  # all files of its bundle with their digests
    by_request: bool = False  # a load was requested: it is opened anew, and may have a lower trust than what was there

    def open(self, loader: BundleLoader, desired: DesiredState) -> TbconvError | None:
        """Open what lies there; what was loaded before goes on where that fails or is trusted less.

        Returns:
            Why it was refused; None where it is loaded.
        """
        self.tried_stamp, self.error, self.incomplete, self.unloaded_because = self.place.stamp, None, None, None
        start = time.monotonic()
        try:
            self.place.check()
            found = loader.open(self.place.folder, name=self.place.name, number=self.place.number)
            new = without_failed(found, desired)
            self._check_trust(new)
        except TbconvError as error:
            self._forget(error)
            _log.error("%s: not loaded: %s", self.place.name, error.one_line)
        except Exception as error:  # noqa: BLE001  (logged, and shown by the index; other models go on)
            self.fail(error)
        else:
            self.take(new)
            reason = f"; {new.active.reason}" if new.active.reason else ""
            _log.info("%s %s: %s, %.2f s%s", new.name, new.version, new.description, time.monotonic() - start, reason)
        self.by_request = False
        return self.error

    def fail(self, error: Exception) -> None:
        """Keep an error of the program's own to this folder: it is not tried again before it changes."""
        what = f"{self.place.name} cannot be loaded"
        self.tried_stamp, self.incomplete = self.place.stamp, None
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
        self.loaded, self.tried_stamp, self.error, self.unloaded_because = None, None, None, reason

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

    def _check_trust(self, new: LoadedModel) -> None:
        old = self.loaded
        if old is None or self.by_request or new.trust >= old.trust:
            return
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
# All of it runs in threads beside the event loop, one at a time; readers see whole tables only.
# A swap loses nothing: who was given the old version keeps it until the answer is made, and its
# interpreters go with the last reference.

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
        self._lock = threading.RLock()

    def refresh(self) -> None:
        """Scan the directory and the desired state, open what is new, unload what is gone."""
        with self._lock:
            desired = self._store.read()
            self._scan()
            self._apply_requests(desired)
            self._load_all(desired)
            self._publish_table(desired)
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
        with self._lock:
            self._scan()
            kept = self._kept(name)
            better = () if version is None else self._better_than(kept, version)
            self._store.change(lambda desired: _wanted(desired, name, better, _digests(kept)))
            self.refresh()
            return self._current(name)

    def unload(self, name: str) -> None:
        """Stop answering by a model until it is loaded again; UnknownModel where there is none."""
        with self._lock:
            self._kept(name)
            self._store.change(lambda desired: replace(desired, unloaded=tuple({*desired.unloaded, name})))
            self.refresh()

    def roll_back(self, name: str) -> LoadedModel:
        """Put the current version aside: the next best answers, until a new one lands or this one is loaded by hand.

        Raises:
            UnknownModel: there is no such model.
            NotReady: none of its versions is loaded.
            BadRequest: there is no other version.
        """
        with self._lock:
            before, rolled_back = self._current(name).version, self._store.read().rolled_back.get(name, ())
            self._set_rolled_back(name, (*rolled_back, before))
            try:
                now = self._current(name)
            except NotReady:
                self._set_rolled_back(name, rolled_back)
                raise
            if now.version not in {*rolled_back, before}:
                return now
            self._set_rolled_back(name, rolled_back)
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

    # what follows is called with the lock held

    def _scan(self) -> None:
        """Bring the entries to what lies in the directory."""
        found = self._directory.scan()
        if found is None:
            return  # the folder itself is away: a volume that will be mounted again
        for name in {**self._entries, **found}:
            known = {one.place.folder: one for one in self._entries.get(name, [])}
            for place in found.get(name, ()):
                one = known.setdefault(place.folder, ModelEntry(place))
                one.place, one.missing_since = place, None
            present = {place.folder for place in found.get(name, ())}
            stays = [one for one in known.values() if one.place.folder in present or self._stays_loaded(one)]
            self._entries[name] = sorted(stays, key=lambda one: one.place.number or 0, reverse=True)
        self._entries = {name: kept for name, kept in self._entries.items() if kept}

    def _stays_loaded(self, one: ModelEntry) -> bool:
        if self._directory.one_bundle:
            return True  # it was named on the command line: it answers as long as the server runs
        one.missing_since = one.missing_since or time.monotonic()
        stays = one.loaded is not None and time.monotonic() - one.missing_since < REMOVAL_GRACE_S
        if not stays:
            _log.warning("%s: its folder was removed; the model is unloaded", one.place.name)
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

    def _load_all(self, desired: DesiredState) -> None:
        """Bring every model to what shall be loaded, the smallest first: no large one makes others wait long.

        While it takes long, what lands meanwhile is found and takes its turn.
        """
        waiting, done, looked = deque(self._by_size()), set[str](), time.monotonic()
        while waiting:
            name = waiting.popleft()
            done.add(name)
            try:
                self._load_best(name, self._entries[name], desired)
            except Exception as error:  # noqa: BLE001  (kept to this model)
                for one in self._entries[name]:
                    one.fail(error)
            if time.monotonic() - looked > LOOK_S:
                self._scan()
                waiting, looked = deque(one for one in self._by_size() if one not in done), time.monotonic()

    def _by_size(self) -> list[str]:
        return sorted(self._entries, key=lambda name: sum(one.place.bytes for one in self._entries[name]))

    def _load_best(self, name: str, kept: list[ModelEntry], desired: DesiredState) -> None:
        """Hold a model's best versions in memory, and no others."""
        if name in desired.unloaded:
            for one in kept:
                one.release("unloaded on request")
            return
        rolled_back = desired.rolled_back.get(name, ())
        enough = 0
        for one in kept:  # the newest first, until enough are known that may be current
            if one.loaded is not None or (one.known is None and enough < self._versions):
                self._open_if_new(one, desired)
            enough += one.known is not None and one.known.trained and one.known.version not in rolled_back
        best = ranked(kept, rolled_back)
        for one in best[: self._versions]:
            self._open_if_new(one, desired)
        for one in best[self._versions :]:
            one.release(f"{self._versions} better versions are held")

    def _open_if_new(self, one: ModelEntry, desired: DesiredState) -> None:
        if one.tried_stamp == one.place.stamp:
            return
        first = self._directory.one_bundle and one.loaded is None
        try:
            one.incomplete = None if first else one.place.incomplete_file()
        except Exception as error:  # noqa: BLE001  (kept to this folder)
            one.fail(error)
        if one.tried_stamp != one.place.stamp and one.incomplete is None:
            one.open(self._loader, desired)
        if one.error is not None and one.tried_stamp is not None and self._refused is not None:
            self._refused(one.error)
        if one.loaded is not None:
            self._publish_table(desired)  # the first that is ready answers, while others are opened

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
        order = ranked(self._kept(name), self._store.read().rolled_back.get(name, ()))
        if not order or order[0].loaded is None:
            why = self._kept(name)[0].row().reason
            raise NotReady(f"{name} cannot be loaded", why=why, fix="copy another bundle there")
        return order[0].loaded

    def _set_rolled_back(self, name: str, rolled_back: tuple[str, ...]) -> None:
        self._store.change(lambda desired: replace(desired, rolled_back={**desired.rolled_back, name: rolled_back}))
        self.refresh()

    def _better_than(self, kept: list[ModelEntry], version: str) -> tuple[str, ...]:
        """Return the versions that stand before one; all are opened once if it is not known which folder that is."""
        desired = self._store.read()
        for one in kept:
            if one.known is None and not any(other.known and other.is_version(version) for other in kept):
                one.open(self._loader, desired)
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
