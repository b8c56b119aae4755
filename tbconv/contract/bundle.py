"""The bundle on disk: open = verify digests, seal = bind and record, write = atomic; how JSON is read."""

from __future__ import annotations

import contextlib
import json
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tbconv.contract import files
from tbconv.contract.certificate import SITE, ArtefactVerdict, Certificate, Site, Verdict
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError, printable
from tbconv.contract.files import (
    RESTORE,
    folder_whole_or_not,
    opened,
    require_room,
    sha256_bytes,
    sha256_file,
    temporary_folder,
    temporary_place,
    write_json,
)
from tbconv.contract.manifest import SCHEMA_VERSION, FileRecord, Manifest, digest_of_json, with_current_keys

MANIFEST, CONVERSION = files.MANIFEST, files.CONVERSION
CERTIFICATE = "certificate.json"
MAKE_AGAIN = RESTORE


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder with a manifest; its files are trusted one by one, by digest."""

    root: Path
    manifest: Manifest
    sha256: str = ""  # of manifest.json as it was read

    def read(self, name: str) -> bytes:
        """Return a file whole, after the digest of these very bytes was checked; for small files.

        Args:
            name: a path of the manifest, or manifest.json itself.

        Raises:
            ArtefactError: the file is not in the manifest, missing, altered or far too large.
        """
        if name == MANIFEST:
            expected = self.sha256
        elif name in self.manifest.files:
            expected = self.manifest.files[name].sha256
        else:
            raise ArtefactError(f"{name} is not in the manifest", why="no digest of it is recorded", fix=MAKE_AGAIN)
        self.check_is_there(name)
        data = read_small(self.root / name, ArtefactError)
        if sha256_bytes(data) != expected:
            raise _altered(name, sha256_bytes(data), expected)
        if name != MANIFEST and len(data) != self.manifest.files[name].bytes:
            why = f"the manifest says {self.manifest.files[name].bytes:,}"
            raise ArtefactError(f"{name} has {len(data):,} bytes", why=why, fix=MAKE_AGAIN)
        return data

    def path(self, name: str) -> Path:
        """Return where a file of the bundle is, after its digest was checked.

        Args:
            name: a path of the manifest; a folder (SavedModel) stands for all files in it.

        Raises:
            ArtefactError: the file is not in the manifest, missing or altered.
        """
        for key in self._listed(name):
            self._check(key)
        return self.root / name

    def _listed(self, name: str) -> list[str]:
        names = [key for key in self.manifest.files if key == name or key.startswith(f"{name}/")]
        if not names:
            raise ArtefactError(f"{name} is not in the manifest", why="no digest of it is recorded", fix=MAKE_AGAIN)
        return names

    def check_is_there(self, name: str) -> None:
        """Raise ArtefactError where a file is missing."""
        if not (self.root / name).is_file():
            raise ArtefactError(f"{name} is missing", why="the manifest lists it", fix=MAKE_AGAIN)

    def _check(self, name: str) -> None:
        place, record = self.root / name, self.manifest.files[name]
        self.check_is_there(name)
        size = place.stat().st_size
        if size > record.bytes + MOST_READ:  # its digest would take as long as its writer wants
            why = "the file changed after it was verified, so its parity is unknown"
            raise ArtefactError(
                f"{name} has {size:,} bytes, the manifest says {record.bytes:,}", why=why, fix=MAKE_AGAIN
            )
        try:
            digest = sha256_file(place)
        except OSError as error:  # it went away, or something else stands there now
            raise ArtefactError(f"{name} cannot be read", why=str(error), fix=MAKE_AGAIN) from error
        if digest != record.sha256:
            raise _altered(name, digest, record.sha256)

    def problem_of(self, name: str) -> str | None:
        """Return how a file, or the manifest itself, differs from its digest, in words; None where it does not."""
        try:
            if name == MANIFEST:
                self.read(name)
                return None
            if (self.root / name).stat().st_size != self.manifest.files[name].bytes:
                return f"{name} changed"
            self._check(name)
        except (OSError, ArtefactError):
            return f"{name} changed" if (self.root / name).is_file() else f"{name} is missing"
        return None

    def verify_digests(self) -> None:
        """Check every file of the manifest; ArtefactError at the first that differs."""
        for name in self.manifest.files:
            self._check(name)

    def certificate(self) -> Certificate:
        """Return the certificate.

        Raises:
            ArtefactError: it is missing, altered or not one.
        """
        value = parse_json(self.read(CERTIFICATE), CERTIFICATE)
        try:
            return Certificate.from_json(value)
        except (KeyError, TypeError, ValueError) as error:
            what = f"{CERTIFICATE} cannot be understood"
            raise ArtefactError(what, why=f"{type(error).__name__}: {error}", fix=MAKE_AGAIN) from error

    def verdict(self, name: str) -> ArtefactVerdict:
        """Return what the certificate says of one artefact; UNVERIFIED where it says nothing.

        Raises:
            ArtefactError: the certificate is missing or altered, or is about another digest.
        """
        found = self.certificate().artefacts.get(name)
        if found is None:
            return ArtefactVerdict(Verdict.UNVERIFIED, self.digest(name), "the certificate does not name it")
        if found.sha256 != self.digest(name):
            raise ArtefactError(
                f"the verdict on {name} is about {found.sha256[:12]}, the file is {self.digest(name)[:12]}",
                why="the file was replaced after it was certified",
                fix=MAKE_AGAIN,
            )
        return found

    def digest(self, name: str) -> str:
        """Return the SHA-256 of an artefact as the manifest has it.

        Of a folder it is that of its files' names and digests; fingerprint.pb is left out,
        since TensorFlow writes a random number into it.

        Raises:
            ArtefactError: it is not in the manifest.
        """
        if self._listed(name) == [name]:
            return self.manifest.files[name].sha256
        return folder_digest({path: record.sha256 for path, record in self.manifest.files.items()}, name)


def _altered(name: str, digest: str, expected: str) -> ArtefactError:
    return ArtefactError(
        f"{name} has digest {digest[:12]}, the manifest says {expected[:12]}",
        why="the file changed after it was verified, so its parity is unknown",
        fix=MAKE_AGAIN,
    )


def folder_digest(digests: dict[str, str], name: str) -> str:
    """Return one digest for the files of a folder, given all files' digests by path."""
    inside = sorted(path for path in digests if path.startswith(f"{name}/") and not path.endswith("fingerprint.pb"))
    return sha256_bytes("".join(f"{path} {digests[path]}\n" for path in inside).encode())


# --- bounds ---
# What a file of others may cost: this machine reads no more of it than the real ones need, and never waits for it.
# Everything here raises `BundleError` (or what the caller names), so that a damaged file is one sentence.

MOST_MANIFEST = 1 << 20  # bytes; that of a ResNet50 has 16 KB
MOST_READ = 64 << 20  # bytes of any other file that is read whole: the split of 112,000 films takes 10 MB
MOST_VALUES = 1 << 22  # of JSON, a 32nd of it in manifest and certificate: `[],` is 3 bytes there and 64 in memory
MOST_DEPTH = 64  # lists and objects within each other; ours have 7
MOST_INTEGER = 1 << 63
COPIED = 1 << 20  # bytes at a time
MOST_FILES = 1_000  # of a manifest; each costs a look at the disk. A bundle has 30
MOST_NAME = 255  # bytes of one part of a path, what ext4, XFS, APFS and NTFS take
_NOT_IN_NAMES = frozenset('<>:"|?*\\')  # a drive, a stream or a separator on Windows: the name would mean another file


def read_small(path: Path, error: type[BundleError]) -> bytes:
    """Return a file whole; the error where it is missing, no regular file, or larger than any that is read whole."""
    most = MOST_MANIFEST if path.name == MANIFEST else MOST_READ
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, most) + 1)  # which is reserved before anything is read
    except (OSError, ValueError) as found:
        raise error(f"{path} cannot be read", why=str(found), fix=MAKE_AGAIN) from found
    if len(data) > most:
        raise error(f"{path} is too large", why=f"it holds more than {most:,} bytes", fix=MAKE_AGAIN)
    return data


def read_json(path: Path, *, keys_of_users: bool = False) -> Any:
    """Return the JSON of a file, its keys by today's names; BundleError if it is missing, not JSON or beyond bounds.

    Args:
        path: the file.
        keys_of_users: whether users choose keys in it, such as names of models: all keys then stay as they are.
    """
    return parse_json(read_small(path, BundleError), path, keys_of_users=keys_of_users)


def parse_json(data: bytes, name: str | Path, *, keys_of_users: bool = False) -> Any:
    """Return the value of JSON, its keys by today's names.

    Args:
        data: UTF-8.
        name: what to call it in the error.
        keys_of_users: whether users choose keys in it: all keys then stay as they are.

    Raises:
        BundleError: it is no JSON, names a key twice (two readers would disagree on it), holds NaN, Infinity, half of
            a surrogate pair or an integer beyond 64 bits, or is larger or nested deeper than any record of ours.
    """
    try:
        _check_count(data, MOST_VALUES >> 5 if Path(name).name in (MANIFEST, CERTIFICATE) else MOST_VALUES)
        value = json.loads(data.decode(), object_pairs_hook=_keys_once)
        _check_values(value)
        return value if keys_of_users else with_current_keys(value)
    except (ValueError, RecursionError) as error:
        why = f"it is nested deeper than {MOST_DEPTH} levels" if isinstance(error, RecursionError) else str(error)
        raise BundleError(f"{name} cannot be read as JSON", why=why, fix=MAKE_AGAIN) from error


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {printable(counts.most_common(1)[0][0], most=80)!r} appears twice")
    return found


def _check_count(data: bytes, most: int) -> None:
    if sum(data.count(mark) for mark in (b",", b"[", b"{", b":")) > most:  # no value without one before it
        raise ValueError(f"it holds more than {most:,} values")


def _check_values(value: Any) -> None:
    """Refuse, level by level and without recursion, what JSON can say and a record never does; ValueError."""
    level = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += (*one, *one.values())
            elif isinstance(one, list):
                inner += one
            else:
                _check_plain(one)
        level = inner
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels")


def _check_plain(value: str | float | bool | None) -> None:
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # UnicodeEncodeError: half of a surrogate pair, which no answer can carry
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"it holds {value}, which is no number of JSON")
    elif value is not None and not -MOST_INTEGER <= value < MOST_INTEGER:
        raise ValueError(f"it holds an integer of {value.bit_length()} bits, 64 are the most")


def check_name(name: object) -> None:
    """Refuse a name of a manifest that is not the same file on every machine: no path is built of it before.

    Raises:
        BundleError: it leaves the bundle, is no relative path with '/' between folders, is longer than file systems
            take, has characters that are not printable, or is not in Unicode's composed form (NFC).
    """
    if not isinstance(name, str):
        raise BundleError(f"the manifest names {name!r}", why="it is no text", fix=MAKE_AGAIN)
    parts = name.split("/")
    why = ""
    if name.startswith("/") or ".." in parts:
        why = "it leaves the bundle"
    elif not name.isprintable() or not _NOT_IN_NAMES.isdisjoint(name) or not unicodedata.is_normalized("NFC", name):
        why = "file systems disagree on it: it holds control characters, signs of Windows' paths, or is not in NFC"
    elif len(parts) > MOST_DEPTH or any(not part or part[-1] in ". " for part in parts):
        why = "it is no plain path"
    elif max(len(part.encode()) for part in parts) > MOST_NAME:
        why = f"it is longer than the {MOST_NAME} bytes that file systems take"
    if why:
        raise BundleError(f"the manifest names {printable(repr(name), most=120)}", why=why, fix=MAKE_AGAIN)


def read_bundle(root: Path) -> Bundle:
    """Read the manifest and trust no file yet: each is checked when its path is requested.

    Raises:
        BundleError: no folder, no manifest, one of another schema, or one that points outside the folder.
    """
    if not (root / MANIFEST).is_file() and (root / CONVERSION).is_file():
        raise BundleError(
            f"{root} is a conversion of a third-party ONNX model, not a bundle",
            why="no threshold was chosen or tested on labelled films, so there is no decision to serve or verify",
            fix=f"read {root / 'report.md'}; its files load in their own runtimes, and tbconv adopt takes a checkpoint",
        )
    if not (root / MANIFEST).is_file():
        advice = files.advice_on(root)
        raise BundleError(
            f"{root} is not a bundle",
            why=_why_no_bundle(root) if advice is None else advice.why,
            fix="make one: tbconv convert RUN --out BUNDLE" if advice is None else advice.fix,
        )
    data = read_small(root / MANIFEST, BundleError)
    manifest = Manifest.from_json(parse_json(data, root / MANIFEST))
    if len(manifest.files) > MOST_FILES:
        why = f"it names {len(manifest.files):,} files, {MOST_FILES:,} are the most"
        raise BundleError(f"{root / MANIFEST} is too long", why=why, fix=MAKE_AGAIN)
    for name in (*manifest.files, *(one.path for one in manifest.artefacts)):
        check_name(name)
        if _leaves(root, name):
            raise BundleError(f"the manifest names {name!r}", why="it leaves the bundle", fix=MAKE_AGAIN)
    return Bundle(root, manifest, sha256_bytes(data))


def read_site(path: Path, bundle: Bundle) -> Site:
    """Return a site's own figures of a bundle.

    Args:
        path: of the site.json that `tbconv evaluate --bundle` wrote.
        bundle: the one that they have to be of.

    Raises:
        BundleError: it cannot be read, is none, or is of another bundle.
    """
    fix = f"measure it again: tbconv evaluate --bundle {bundle.root} --data FILMS"
    try:
        value = parse_json(read_small(path, BundleError), path)
    except BundleError as error:
        raise BundleError(error.what, why=error.why, fix=fix) from error
    try:
        site = Site.from_json(value)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path} is no {SITE}", why=f"{type(error).__name__}: {error}", fix=fix) from error
    if site.manifest != bundle.sha256:
        why = f"they were measured on manifest {site.manifest[:12]}, this one is {bundle.sha256[:12]}"
        raise BundleError(f"{path} has figures of another bundle than {bundle.manifest.name}", why=why, fix=fix)
    return site


def _why_no_bundle(root: Path) -> str:
    if os.path.lexists(root / MANIFEST):
        return f"its {MANIFEST} is no regular file"
    return f"it has no {MANIFEST}" if root.exists() else "there is no such folder"


def _leaves(root: Path, name: str) -> bool:
    place = root / name
    try:
        return place.is_symlink() or not place.resolve().is_relative_to(
            root.resolve()
        )  # a folder on the way may be a link
    except (OSError, RuntimeError):  # links that lead around in circles
        return True


def open_bundle(root: Path) -> Bundle:
    """Read a bundle and check the digest of every file; ArtefactError at the first that differs."""
    bundle = read_bundle(root)
    bundle.verify_digests()
    return bundle


@contextlib.contextmanager
def private_copy(root: Path) -> Iterator[Bundle]:
    """Yield a copy of a bundle that nobody else can change, every file of which has its digest; for long work.

    Raises:
        BundleError: `root` is no bundle.
        ArtefactError: a file is missing or altered.
        SetupError: the temporary folder has no room for it.
    """
    bundle = read_bundle(root)
    whole = sum(record.bytes for record in bundle.manifest.files.values())
    require_room({temporary_place(): whole}, what=f"a private copy of {root}")
    with temporary_folder("copy") as folder:
        copy = replace(bundle, root=folder / root.resolve().name)
        for name in bundle.manifest.files:
            (copy.root / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_bounded(bundle, name, copy.root / name)
        (copy.root / MANIFEST).write_bytes(bundle.read(MANIFEST))
        copy.verify_digests()
        yield copy


def _copy_bounded(bundle: Bundle, name: str, place: Path) -> None:
    """Copy a file that is as long as its record says, and no byte more though it grows; its digest is checked later."""
    bundle.check_is_there(name)
    said = bundle.manifest.files[name].bytes
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened(bundle.root / name))
        except OSError as error:
            raise ArtefactError(f"{name} cannot be read", why=str(error), fix=MAKE_AGAIN) from error
        if (size := os.fstat(file.fileno()).st_size) != said:
            why = "the file changed after it was verified, so its parity is unknown"
            raise ArtefactError(f"{name} has {size:,} bytes, the manifest says {said:,}", why=why, fix=MAKE_AGAIN)
        copy, left = stack.enter_context(place.open("wb")), said
        while left and (block := file.read(min(left, COPIED))):
            copy.write(block)
            left -= len(block)


def refuse_inside(root: Path, out: Path, *, fix: str, option: str = "--out") -> None:
    """Refuse to write into a bundle, or over it.

    Args:
        root: of the bundle, or a file that is signed.
        out: where a command was asked to write.
        fix: where it could.
        option: of the command, that named the place.

    Raises:
        ConfigError: `out` is the bundle, or lies inside it.
    """
    if out.resolve().is_relative_to(root.resolve()):
        why = "nothing is ever written into a bundle: its manifest and its signature vouch for every file in it"
        raise ConfigError(f"{option} {out} lies inside the bundle", why=why, fix=fix)


@contextlib.contextmanager
def replace_folder(place: Path, *, marks: tuple[str, ...], kind: str) -> Iterator[Path]:
    """Yield a temporary folder that takes the place if the block succeeds: of nothing, or of what tbconv made.

    Args:
        place: the folder to write.
        marks: files by which a folder that tbconv made is known.
        kind: what the folder at `place` has to be, in words.

    Raises:
        BundleError: the place is taken by something else.
    """
    known = any((place / name).is_file() for name in marks)
    if place.exists() and not known and (not place.is_dir() or any(place.iterdir())):
        raise BundleError(
            f"{place} exists and is {kind}",
            why="writing there would replace files that tbconv did not make",
            fix="choose another --out",
        )
    with folder_whole_or_not(place) as temporary:
        yield temporary


@contextlib.contextmanager
def write_bundle(place: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes the bundle at `place` if the block succeeds and sealed it.

    Raises:
        BundleError: `place` exists and is something else than a bundle, or the block forgot `seal`.
    """
    with replace_folder(place, marks=(MANIFEST,), kind="not a bundle") as temporary:
        yield temporary
        open_bundle(temporary)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Bind the certificate to all that the manifest says, write manifest.json over every file, and return it.

    The certificate's scope gets the digest of the manifest without its files (and of each of its parts, to name the one
    that changes), and that of the list of all files but itself; the manifest holds the certificate's digest. So neither
    changes without the other.
    """
    sealed = replace(manifest, files=file_records(folder, but=MANIFEST), schema_version=SCHEMA_VERSION)
    if CERTIFICATE in sealed.files:
        sealed = Manifest.from_json(json.loads(json.dumps(sealed.to_json())))  # as it will be read
        certificate = read_json(folder / CERTIFICATE)
        scope = {"binding": binding_of(sealed), "sections": sections_of(sealed)}
        certificate["scope"] = certificate.get("scope", {}) | scope
        write_json(folder / CERTIFICATE, certificate)
        place = folder / CERTIFICATE
        sealed.files[CERTIFICATE] = FileRecord(sha256_file(place), place.stat().st_size)
    write_json(folder / MANIFEST, sealed.to_json())
    return sealed


def binding_of(manifest: Manifest) -> dict[str, str]:
    """Return the two digests by which a certificate is bound to a manifest."""
    return {"manifest_sha256": manifest.digest, "files_sha256": manifest.files_digest(but=CERTIFICATE)}


def sections_of(manifest: Manifest) -> dict[str, str]:
    """Return the digest of each part of a manifest but its files: they tell which part is not the one certified."""
    return {name: digest_of_json(value) for name, value in manifest.to_json().items() if name != "files"}


def file_records(folder: Path, *, but: str) -> dict[str, FileRecord]:
    """Return digest and size of every file of a folder, by path; without the one that will hold them."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(sha256_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / but
    }
