"""Who vouches for a bundle or a checkpoint: the one place that signs and checks, by OpenSSF model-signing, offline.

Digests in the manifest say that nothing changed by accident; whoever changes a file can change the manifest and the
certificate too. A signature over every file of the folder, the manifest among them, says who wrote them. It is checked
on what was read: the digest of the manifest that is in memory and the digests that it names, which the bytes of each
file are held to when they are used. So nothing can be replaced between the check and the use.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import MANIFEST, Bundle, open_bundle, private_copy, read_bundle, refuse_inside
from tbconv.contract.consistency import check_binding
from tbconv.contract.errors import BundleError, ConfigError, SetupError, some
from tbconv.contract.files import require_room, sha256_file, temporary_folder, temporary_place, write_atomic

SUFFIX = ".sig"
PRIVATE_MODE = 0o600  # for its owner's eyes
MOST_NAMED = 3  # files of an error
MOST_SIGNATURE = 4 << 20  # bytes; a bundle of 30 files has 7 KB
WHOLE_FILE = "."  # how model-signing calls the one file that was signed
ELSEWHERE = "name a file beside the bundle, such as BUNDLE.sig"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRule:
    """Whose signature is required before anything of a bundle or checkpoint is used."""

    key: bytes  # public key, PEM; read once, so that the file may change afterwards
    key_name: str  # of its file
    signature: Path | None = None  # None: beside what is checked, NAME.sig

    def check_bundle(self, bundle: Bundle, *, whole: bool = False) -> None:
        """Check that the key vouches for the manifest as it was read, and for every digest in it.

        Args:
            bundle: files are not read; whoever uses one checks its digest.
            whole: whether a file that the manifest does not list is an error too.

        Raises:
            BundleError: there is no signature, it is of another key, or about other files.
        """
        listed = {name: record.sha256 for name, record in bundle.manifest.files.items()}
        if whole and (extra := sorted(_files_of(bundle.root) - listed.keys() - {MANIFEST})):
            raise _refused(bundle.root, f"files that were not signed: {some(extra, MOST_NAMED)}")
        self._check(bundle.root, {**listed, MANIFEST: bundle.sha256})

    def check_file(self, path: Path, sha256: str) -> None:
        """Check that the key vouches for one file, such as a checkpoint.

        Args:
            path: of the file, beside which its signature lies.
            sha256: of the bytes that will be used.

        Raises:
            BundleError: there is no signature, it is of another key, or about another file.
        """
        self._check(path, {WHOLE_FILE: sha256})

    def _check(self, place: Path, digests: Mapping[str, str]) -> None:
        from cryptography.exceptions import InvalidSignature

        signature = self.signature or default_place(place)
        config = _verifier(self.key, self.key_name).set_hashing_config(_Read(digests))
        if not signature.is_file():
            why = f"a signature is required, and there is no {signature}"
            fix = f"tbconv sign {place} --key KEY.pem, or get the signature from whoever made it"
            raise BundleError(f"{place} is not signed", why=why, fix=fix)
        if signature.stat().st_size > MOST_SIGNATURE:
            raise _refused(place, f"{signature} has more than {MOST_SIGNATURE >> 20} MB and is no signature")
        try:
            config.verify(place, signature)
        except InvalidSignature as error:
            raise _refused(place, "the signature was not made with this key, or was altered") from error
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, RecursionError) as error:
            raise _refused(place, _told(error)) from error  # what a damaged one leads to


class _Read:
    """What was read, as if model-signing had hashed it: digests by path, compared with those that were signed."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        self.model_name = "it"
        self._digests = dict(digests)

    def hash(self, model_path: Any, *, files_to_hash: Any = None) -> _Read:  # noqa: ARG002  (model-signing passes them)
        return self

    def add_ignored_paths(self, **given: Any) -> None:
        """Ignore nothing, whatever a signature asks for."""

    def resource_descriptors(self) -> list[_Descriptor]:
        return [_Descriptor(name, digest) for name, digest in sorted(self._digests.items())]

    def __eq__(self, other: object) -> bool:
        signed = {one.identifier: one.digest for one in other.resource_descriptors()}  # type: ignore[attr-defined]
        return signed == {one.identifier: one.digest for one in self.resource_descriptors()}

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class _Descriptor:
    identifier: str
    sha256: str

    @property
    def digest(self) -> Any:
        """Return the digest in model-signing's own type."""
        from model_signing.hashing import hashing

        return hashing.Digest("sha256", bytes.fromhex(self.sha256))


def required_signature(
    public_key: Path | None, *, required: bool, signature: Path | None = None
) -> SignatureRule | None:
    """Return whose signature is required, by the options of a command; None where none is.

    Args:
        public_key: whoever names a key wants it to be used: it is required then.
        required: whether one is.
        signature: where it lies, if not beside what is checked.

    Raises:
        ConfigError: a signature is required or named, and no key that could be used.
        SetupError: model-signing is not installed.
    """
    if public_key is None:
        if not (required or signature is not None):
            return None
        why = "a signature says nothing unless it is known whose key made it"
        fix = "add --public-key KEY.pub.pem, or set TBCONV_PUBLIC_KEY"
        raise ConfigError("--public-key is missing", why=why, fix=fix)
    fix = "check the path, or get the public key from whoever signed"
    key = _key_file(public_key, fix=fix).read_bytes()
    _verifier(key, str(public_key))  # what is wrong with it is said now
    return SignatureRule(key=key, key_name=str(public_key), signature=signature)


def make_key(private: Path) -> Path:
    """Write a new pair of keys, elliptic curve P-256: `private` and, beside it, NAME.pub.pem.

    Returns:
        Where the public key is.

    Raises:
        ConfigError: one of the two files exists; a key that is overwritten is lost.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    public = private.with_name(f"{private.name.removesuffix('.pem')}.pub.pem")
    for place in (private, public):
        if place.exists():
            raise ConfigError(f"{place} exists", why="a key that is overwritten is lost", fix="choose another name")
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    private.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(private, secret, mode=PRIVATE_MODE)  # closed to others before there is anything to read
    write_atomic(public, key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(target: Path, key: Path, out: Path | None = None) -> Path:
    """Sign every file of a bundle, or one file such as a checkpoint, and write the signature beside it.

    Args:
        target: a bundle, whose digests and binding are checked first, so that nothing altered is signed; or a file.
        key: private key, PEM, elliptic curve P-256, P-384 or P-521, without a password.
        out: the signature, a Sigstore bundle in JSON; default TARGET.sig.

    Returns:
        Where the signature is.

    Raises:
        BundleError: `target` is no bundle, not whole, not the one that was certified, or holds files that its manifest
            does not list.
        ConfigError: the key cannot be used, or `out` lies inside the bundle.
    """
    place = out or default_place(target)
    refuse_inside(target, place, fix=ELSEWHERE)
    bundle = None if target.is_file() else open_bundle(target)
    if bundle:
        check_binding(bundle)  # the manifest itself is in no list of digests
    if bundle and (extra := sorted(_files_of(target) - bundle.manifest.files.keys() - {MANIFEST})):
        why = f"the manifest does not list {some(extra, MOST_NAMED)}; only `convert` writes into a bundle"
        raise BundleError(f"{target} holds other files", why=why, fix="move them elsewhere and sign again")
    config = _signing().Config().set_hashing_config(_every_file())
    try:
        config.use_elliptic_key_signer(
            private_key=_key_file(key, fix="check the path, or make a pair: tbconv sign --new-key KEY.pem")
        )
    except (ValueError, TypeError, AttributeError) as error:  # no PEM; with a password; of another kind
        raise _useless_key(key, error) from error
    with temporary_folder("sign", beside=place.parent) as folder:
        made = folder / "signature"
        config.sign(target, made)
        rule = SignatureRule(key=_public_of(key), key_name=str(key), signature=made)
        if bundle:
            rule.check_bundle(bundle)  # what was hashed is what was opened
        else:
            rule.check_file(target, sha256_file(target))
        write_atomic(place, made.read_bytes())
    return place


@contextlib.contextmanager
def signed_file(path: Path, rule: SignatureRule | None) -> Iterator[Path]:
    """Yield a file; where a signature is required, a copy that nobody else can change, after it was checked.

    Raises:
        BundleError: the file cannot be read, or the key does not vouch for it.
    """
    if rule is None:
        yield path
        return
    with temporary_folder("copy") as folder:
        copy = folder / path.name
        try:
            require_room({temporary_place(): path.stat().st_size}, what=f"a private copy of {path}")
            shutil.copyfile(path, copy)
        except OSError as error:
            raise BundleError(f"{path} cannot be read", why=str(error), fix="check the path") from error
        rule.check_file(path, sha256_file(copy))
        yield copy


@contextlib.contextmanager
def signed_bundle(root: Path, rule: SignatureRule | None) -> Iterator[Path]:
    """Yield a bundle; where a signature is required, a copy that nobody else can change, after it was checked.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: it is none, or the key does not vouch for every file of it.
    """
    if rule is None:
        yield root
        return
    rule.check_bundle(read_bundle(root), whole=True)  # before anything is copied that nobody vouches for
    with private_copy(root) as bundle:
        rule.check_bundle(replace(bundle, root=root), whole=True)
        yield bundle.root


@contextlib.contextmanager
def signed_place(path: Path, rule: SignatureRule | None) -> Iterator[Path]:
    """Do as `signed_bundle` does for a bundle, a file or SavedModel of one, which its signature covers, or a lone file.

    Raises:
        ArtefactError: a file of the bundle is missing or altered.
        BundleError: the key does not vouch for it, or it is a folder that nobody can sign.
    """
    if rule is None:
        yield path
    elif (path / MANIFEST).is_file():
        with signed_bundle(path, rule) as root:
            yield root
    elif (path.resolve().parent / MANIFEST).is_file():
        with signed_bundle(path.resolve().parent, rule) as root:
            yield root / path.resolve().name
    elif path.is_dir():
        why = "a signature is required, and only bundles and files have one"
        raise BundleError(
            f"{path} is not signed", why=why, fix="name a bundle, or the bundle's own folder of this name"
        )
    else:
        with signed_file(path, rule) as copy:
            yield copy


def _files_of(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def _public_of(private: Path) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    public = form.load_pem_private_key(private.read_bytes(), None).public_key()
    return bytes(public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))


def _verifier(key: bytes, name: str) -> Any:
    """Return model-signing's configuration for a public key, which it reads from a file."""
    _signing()
    from model_signing import verifying

    with temporary_folder("key") as folder:
        place = folder / "key.pub.pem"
        place.write_bytes(key)
        try:
            return verifying.Config().use_elliptic_key_verifier(public_key=place)
        except (ValueError, TypeError, AttributeError) as error:
            raise _useless_key(Path(name), error) from error


def _signing() -> Any:
    """Return `model_signing.signing`; SetupError where the extra is not installed."""
    try:
        from model_signing import signing
    except ImportError as error:
        why, fix = f"the extra 'sign' is not installed: {error}", "pip install 'tbconv[sign]'"
        raise SetupError("signatures can be neither made nor checked here", why=why, fix=fix) from error
    return signing


def default_place(target: Path) -> Path:
    """Return where a signature lies unless another place is named: beside the bundle or file."""
    whole = target.absolute() if target.name and target.name != ".." else target.resolve()
    return whole.with_name(f"{whole.name}{SUFFIX}")


def _every_file() -> Any:
    """Return model-signing's file list without exceptions: by default it passes over .git and the like."""
    from model_signing import hashing

    return hashing.Config().use_file_serialization().set_ignored_paths(paths=[], ignore_git_paths=False)


def _key_file(path: Path, *, fix: str) -> Path:
    if not path.is_file():
        raise ConfigError(f"{path} is no key", why="there is no such file", fix=fix)
    return path


def _useless_key(path: Path, error: Exception) -> ConfigError:
    fix = "tbconv sign --new-key KEY.pem makes a pair: KEY.pem signs, KEY.pub.pem checks"
    return ConfigError(f"{path} cannot be used as a key", why=_first_line(error), fix=fix)


def _refused(root: Path, why: str) -> BundleError:
    fix = "do not use it; fetch the bundle, its signature and the public key again from whoever made them"
    return BundleError(f"the signature does not vouch for {root}", why=why, fix=fix)


def _told(error: Exception) -> str:
    """Return model-signing's reason in a line: which key or which files, without digests of 64 digits."""
    said = _first_line(error)
    if said.startswith("Key mismatch"):
        return "it was made with another key than this public key's"
    if said.startswith("Signature mismatch: "):
        return _changed(said.removeprefix("Signature mismatch: "))
    return f"it is no signature of model-signing ({type(error).__name__}: {said})"


def _changed(said: str) -> str:
    names = re.findall(r"Hash mismatch for \\*'(.+?)\\*': Expected", said)
    altered = [f"altered since it was signed: {some(names, MOST_NAMED)}"] if names else []
    added = re.findall(r"((?:Extra|Missing) files .+?: .+?)[\"'](?:, |])", said)
    return "; ".join([*(one.lower() for one in added), *altered]) or said


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines() if line.strip())
    return next(lines, type(error).__name__)
