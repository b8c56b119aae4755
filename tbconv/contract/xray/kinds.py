"""What a file is that is no film, read from its first bytes: for a refusal that says what came instead."""

from __future__ import annotations

import re

UNKNOWN = "none of them"
TEXT = "text"
SEEN = 4096  # bytes from the start; none of the marks below lies further in
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
_STARTS = {
    b"%PDF": "a PDF",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"II+\0": "a TIFF",
    b"MM\0+": "a TIFF",
    b"PK\3\4": "a ZIP archive",
    b"PK\5\6": "an empty ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\x5c\x01\0\0": "a NIfTI volume",
    b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"\0\0\0\x0cJXL": "a JPEG XL",
    b"\xff\x0a": "a JPEG XL",
    b"RIFF": "a WebP or another RIFF file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\0\5\x16\7": "the notes that macOS keeps beside a file (._NAME), not the file",
    b"\xd0\xcf\x11\xe0": "an old Office file or Thumbs.db",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself (git lfs pull fetches it)",
    b"P5": "a PGM",
    b"P2": "a PGM",
    b"8BPS": "a Photoshop file",
    b"SQLite format 3": "a SQLite database",
    b"{\\rtf": "an RTF document",
}
_LATER = (
    (257, b"ustar", "a tar archive"),
    (344, b"n+1", "a NIfTI volume"),
    (344, b"ni1", "a NIfTI volume"),
    (4, b"n+2", "a NIfTI volume"),
)
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # ISO 23008-12
_BRANDS = dict.fromkeys(_HEIF, "a HEIC photograph") | {b"avif": "an AVIF picture"}
# What a PNG becomes where something takes it for text: line ends changed (`curl -d` leaves them out), or decoded as
# UTF-8. Its signature was made to show exactly that.
_TORN_PNG = re.compile(rb"\x89PNG[\r\n\x1a]|(\xef\xbf\xbd|\xc2\x89|\?)PNG[\r\n]")
_TEXT = re.compile(rb"[\t\n\r\f\x20-\x7e\x80-\xff]*\Z")


_DICOM_AT, _DICOM_START = 128, b"DICM"  # a DICOM file begins with 128 free bytes, then this
_GROUPS = (2, 8)  # what files without that preamble begin with: the file's own header, or identification


def looks_like_dicom(data: bytes) -> bool:
    """Whether bytes begin as DICOM does, with its preamble or, as some archives write it, without."""
    if data[_DICOM_AT : _DICOM_AT + 4] == _DICOM_START:
        return True
    little, big = int.from_bytes(data[:2], "little"), int.from_bytes(data[:2], "big")
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    implicit = len(data) > 8 and int.from_bytes(data[4:8], "little") < len(data)
    return (explicit and (little in _GROUPS or big in _GROUPS)) or (implicit and little in _GROUPS)


def why_no_film(data: bytes) -> str:
    """Return the reason of a refusal: what came instead of a film."""
    return f"its first bytes are those of {what_it_is(data)}" if data else "the file is empty"


def what_it_is(data: bytes) -> str:
    """Name what bytes are that are no film: "a PDF", "a web page", `UNKNOWN`.

    Args:
        data: the file, or its first `SEEN` bytes; nothing of it is quoted, it may be about a person.
    """
    head = bytes(data[:SEEN])
    return next((kind for start, kind in _STARTS.items() if head.startswith(start)), None) or _kind_within(head)


def _kind_within(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # of UTF-16
        return TEXT
    if head and not head.strip(b"\0"):
        return "a file of zeros alone, as an interrupted copy leaves it"
    found = next((kind for place, mark, kind in _LATER if head.startswith(mark, place)), None)
    if found is None and _TORN_PNG.match(head):
        return "a PNG that was sent as text, so its bytes changed on the way (curl takes --data-binary, not -d)"
    return found or (_kind_of_text(head) if _TEXT.match(head) else UNKNOWN)


def _kind_of_text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page (HTML), as a download that needs a login leaves it"
    if b"<svg" in text[:1024] and text.startswith(b"<"):
        return "an SVG"
    if text.startswith(b"<?xml"):
        return "an XML file"
    if text.startswith((b"{", b"[")):
        return "JSON"
    return TEXT if _is_utf8(text) else UNKNOWN


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(text) - 4 and error.reason == "unexpected end of data"  # cut at `SEEN`
    return True
