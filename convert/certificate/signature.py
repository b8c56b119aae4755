"""Who vouches for a bundle: the one place that signs and checks, through OpenSSF model-signing, with a key, offline.

Digests in the manifest say that nothing changed by accident; whoever changes a file can change the
manifest too. A signature over every file of the folder, the manifest among them, says who wrote them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import open_bundle
from tbconv.contract.errors import BundleError, ConfigError

SUFFIX = ".sig"
PRIVATE_MODE = 0o600  # for its owner's eyes
MOST_NAMED = 3  # files of an error
ELSEWHERE = "name a file beside the bundle, such as BUNDLE.sig"


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
    private.touch(PRIVATE_MODE, exist_ok=False)  # closed to others before there is anything to read
    private.write_bytes(secret)
    public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return public


def sign_bundle(root: Path, key: Path, out: Path | None = None) -> Path:
    """Sign every file of a bundle and write the signature beside it.

    Args:
        root: a bundle; its digests are checked first, so that nothing altered is signed.
        key: private key, PEM, elliptic curve P-256, P-384 or P-521, without a password.
        out: the signature, a Sigstore bundle in JSON; default ROOT.sig.

    Returns:
        Where the signature is.

    Raises:
        BundleError: `root` is no bundle or not whole.
        ConfigError: the key cannot be used, or `out` lies inside the bundle.
    """
    from model_signing import signing

    place = out or default_place(root)
    if place.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{place} lies inside the bundle", why="only `convert` writes into one", fix=ELSEWHERE)
    open_bundle(root)
    config = signing.Config().set_hashing_config(_every_file())
    try:
        config.use_elliptic_key_signer(private_key=_key_file(key))
    except (ValueError, TypeError, AttributeError) as error:  # no PEM; with a password; of another kind
        raise _useless_key(key, error) from error
    config.sign(root, place)
    return place


def check_signature(root: Path, signature: Path, public_key: Path) -> None:
    """Check that a signature is of this key and that every file of the bundle is as it was signed.

    Raises:
        BundleError: a file was altered, added or taken away, the signature is of another key, or is none.
        ConfigError: the public key cannot be used.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    config = verifying.Config().set_hashing_config(_every_file())
    try:
        config.use_elliptic_key_verifier(public_key=_key_file(public_key))
    except (ValueError, TypeError, AttributeError) as error:
        raise _useless_key(public_key, error) from error
    _check_readable(root, signature)
    try:
        config.verify(root, signature)
    except InvalidSignature as error:
        raise _refused(root, "the signature was not made with this key, or was altered") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:  # what a damaged one leads to
        raise _refused(root, _told(error)) from error


def default_place(root: Path) -> Path:
    """Return where a bundle's signature lies unless another place is named: beside it."""
    whole = root.resolve()
    return whole.with_name(f"{whole.name}{SUFFIX}")


def _every_file() -> Any:
    """Return model-signing's file list without exceptions: by default it passes over .git and the like."""
    from model_signing import hashing

    return hashing.Config().use_file_serialization().set_ignored_paths(paths=[], ignore_git_paths=False)


def _key_file(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"{path} is no key", why="there is no such file", fix="tbconv sign --new-key KEY.pem")
    return path


def _useless_key(path: Path, error: Exception) -> ConfigError:
    fix = "tbconv sign --new-key KEY.pem makes a pair: KEY.pem signs, KEY.pub.pem checks"
    return ConfigError(f"{path} cannot be used as a key", why=_first_line(error), fix=fix)


def _check_readable(root: Path, signature: Path) -> None:
    for place, missing in ((root, not root.is_dir()), (signature, not signature.is_file())):
        if missing:
            raise BundleError(f"{place} does not exist", why="there is nothing to check", fix="check the path")


def _refused(root: Path, why: str) -> BundleError:
    fix = "do not serve it; fetch the bundle, its signature and the public key again from who made them"
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
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    altered = [f"altered since it was signed: {', '.join(names[:MOST_NAMED])}{more}"] if names else []
    added = re.findall(r"((?:Extra|Missing) files .+?: .+?)[\"'](?:, |])", said)
    return "; ".join([*(one.lower() for one in added), *altered]) or said


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines() if line.strip())
    return next(lines, type(error).__name__)
