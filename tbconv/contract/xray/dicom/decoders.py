"""The one frame of a DICOM film as stored values; third-party decoders run in a process of their own."""

from __future__ import annotations

import importlib.util
import json
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder

from tbconv.contract.environment import child_environment
from tbconv.contract.errors import FilmError
from tbconv.contract.xray.dicom.dataset import DicomHeader, damaged
from tbconv.contract.xray.film import MeteredFile, StreamHeader, read_jpeg_header
from tbconv.family import family_of_child

# --- stream ---
# What a compressed frame states of itself, compared with the film's header before anything is decoded.
#
# Decoders believe the stream and make room for what it claims: a film of 2 x 2 pixels could bring 65,535 x 65,535.

_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC and SIZ, the first two markers of JPEG 2000 (ISO 15444-1, A.5.1)
_SIZ_BYTES = 43  # up to the first component's depth


def jpeg_stream(packed: bytes) -> StreamHeader | None:
    """Read the header of JPEG or JPEG-LS; None where it is unusual, for decoders do not agree about those."""
    found = read_jpeg_header(packed)
    return None if found.frames != 1 or found.endless or not found.orderly else found


def jpeg_2000_stream(packed: bytes) -> StreamHeader | None:
    """Read the header of a JPEG 2000 stream; None where it does not begin with one."""
    if not packed.startswith(_CODESTREAM) or len(packed) < _SIZ_BYTES:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", packed, 8)
    return StreamHeader(right - left, bottom - top, (packed[42] & 0x7F) + 1, int.from_bytes(packed[40:42]))


def without_boxes(packed: bytes) -> bytes:
    """Return the stream without the JP2 boxes that some writers leave around it, against PS3.5 A.4.4."""
    return packed[max(0, packed.find(_CODESTREAM)) :]


def check_stream(stream: StreamHeader | None, header: DicomHeader, *, name: str) -> StreamHeader:
    """Return the stream if it is the film's.

    Raises:
        FilmError: no header, another size, or more bits than a film has.
    """
    if stream is None:
        raise damaged(name, "the header of its compressed picture cannot be followed")
    if (stream.width, stream.height, stream.samples) != (header.columns, header.rows, header.samples):
        raise damaged(name, "its compressed picture has another size than its header says")
    if not 2 <= stream.precision <= 16:
        raise damaged(name, "its compressed picture has more than 16 bits, or less than 2")
    return stream


# --- frame ---
# The one frame of a film as stored values: uncompressed here, JPEG by Pillow, all else by a process of its own.

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
JPEG_8_OR_12 = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
JPEG_OTHERS = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless)
JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """Stored values, before any look-up table."""

    values: NDArray[np.integer]  # [H, W] or [H, W, 3]; of grey plain films anything may stand above `bits`
    bits: int  # that a value uses
    signed: bool
    photometric: str  # of the values, which a decoder may have changed


def decode_frame(header: DicomHeader, pixel_data: bytes, *, name: str) -> StoredFrame:
    """Decode the film's only frame.

    Raises:
        FilmError: damaged, compressed in a way that is not read, or a stream that contradicts the header.
    """
    if is_plain(header):
        return _native(header, pixel_data, name)
    if header.syntax not in (*JPEG_8_OR_12, *JPEG_OTHERS, *JPEG_2000, uid.RLELossless):
        raise FilmError(
            f"{name} is DICOM, compressed in a way that is not read here",
            why="it is neither plain, deflated, JPEG, JPEG-LS, JPEG 2000 nor RLE",
            fix="export it uncompressed, or as PNG",
        )
    return _compressed(header, _only_frame(pixel_data, name), name)


def is_plain(header: DicomHeader) -> bool:
    """Whether the film's values stand in the file as they are."""
    return header.syntax in (*NATIVE, uid.DeflatedExplicitVRLittleEndian)


def _native(header: DicomHeader, pixel_data: bytes, name: str) -> StoredFrame:
    big = header.syntax == uid.ExplicitVRBigEndian
    return _unpack(header, pixel_data, uid.ExplicitVRBigEndian if big else uid.ExplicitVRLittleEndian, name)


def _only_frame(pixel_data: bytes, name: str) -> bytes:
    try:
        return get_frame(MeteredFile(pixel_data), 0, number_of_frames=1)
    except Exception:  # noqa: BLE001 - as in read.py
        raise damaged(name, "the pieces of its compressed picture do not fit together") from None


def _compressed(header: DicomHeader, packed: bytes, name: str) -> StoredFrame:
    if header.syntax == uid.RLELossless:
        stream = StreamHeader(header.columns, header.rows, header.bits_stored, header.samples)
        # each byte of a value, and each colour, is a plane of its own (PS3.5 annex G)
        return _apart("rle", packed, header, stream, name, planar_configuration=1, bits_allocated=header.bits_allocated)
    if header.syntax in JPEG_2000:
        packed = without_boxes(packed)
        stream = check_stream(jpeg_2000_stream(packed), header, name=name)
        return _apart("openjpeg", packed, header, stream, name)
    stream = check_stream(jpeg_stream(packed), header, name=name)
    if header.syntax in JPEG_8_OR_12 and stream.precision == 8:
        source = encapsulate([packed], has_bot=False)
        return _unpack(header, source, uid.JPEGBaseline8Bit, name, stream, decoding_plugin="pillow")
    return _apart(_jpeg_decoder(), packed, header, stream, name)


def decode_jpeg(packed: bytes, stream: StreamHeader, *, name: str) -> NDArray[np.integer]:
    """Decode a grey JPEG or JPEG-LS file, [H, W], as it is stored; raises as `decode_apart`."""
    frame = {"rows": stream.height, "columns": stream.width, "bits_allocated": 16, "samples": 1}
    unpacked = decode_apart(
        _jpeg_decoder(),
        packed,
        frame=frame | {"jpeg_ls": stream.jpeg_ls},
        most=2 * stream.height * stream.width,
        name=name,
    )
    values = np.frombuffer(unpacked, "<u2" if stream.precision > 8 else np.uint8)
    if values.size != stream.height * stream.width:
        raise FilmError(
            f"{name} is damaged", why="it holds another number of pixels than it says", fix="export it again"
        )
    return values.reshape(stream.height, stream.width)


def _jpeg_decoder() -> str:
    """Return the package for JPEG and JPEG-LS: GPL's only where there is no other, so that it changes no pixel."""
    gpl_alone = _installed("libjpeg") and not _installed("imagecodecs")
    return "libjpeg" if gpl_alone else "imagecodecs"


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _apart(
    decoder: str, packed: bytes, header: DicomHeader, stream: StreamHeader, name: str, **how: int
) -> StoredFrame:
    frame = {"rows": header.rows, "columns": header.columns, "bits_allocated": header.bits_allocated}
    frame |= {"samples": header.samples, "jpeg_ls": stream.jpeg_ls}
    most = header.rows * header.columns * header.samples * 2
    unpacked = decode_apart(decoder, packed, frame=frame, most=most, name=name)
    return _unpack(header, unpacked, uid.ExplicitVRLittleEndian, name, stream, **how)


def _unpack(
    header: DicomHeader, source: bytes, syntax: uid.UID, name: str, stream: StreamHeader | None = None, **how: Any
) -> StoredFrame:
    """Let pydicom put bytes into an array: byte order, planes, unused bits and signs."""
    bits = stream.precision if stream else header.bits_stored
    photometric = _after_decoding(header.photometric) if stream else header.photometric
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples,
        "number_of_frames": 1,
        "bits_allocated": (8 if bits <= 8 else 16) if stream else header.bits_allocated,
        "bits_stored": bits,
        "pixel_representation": int(header.signed),
        "planar_configuration": 0 if stream else header.planar,
        "photometric_interpretation": photometric,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW" if header.words else "OB",
        "allow_excess_frames": False,
        "view_only": True,  # the film's own bytes where they can stay as they are, not a copy
        # what stands above the bits stored is dropped when values are looked up: it may be padding
        "correct_unused_bits": stream is not None or header.samples > 1,
        **how,
    }
    try:
        values, found = get_decoder(syntax).as_array(source, index=0, raw=True, **options)
    except Exception:  # noqa: BLE001 - as in read.py
        raise damaged(name, "its picture is damaged, or shorter than its header says") from None
    if stream is None:
        return StoredFrame(values, bits, header.signed, str(found["photometric_interpretation"]))
    # stream and header may each claim more bits than the values use, and black to white is derived from them
    used = min(bits, header.bits_stored) if _fit(values, header) else bits
    return StoredFrame(values, used, header.signed, str(found["photometric_interpretation"]))


def _fit(values: NDArray[np.integer], header: DicomHeader) -> bool:
    least = -(2 ** (header.bits_stored - 1)) if header.signed else 0
    return least <= int(values.min()) and int(values.max()) < least + 2**header.bits_stored


def _after_decoding(photometric: str) -> str:
    """Return what decoders leave: JPEG 2000 comes back as RGB, and halved colours at full size."""
    if photometric in ("YBR_ICT", "YBR_RCT"):
        return "RGB"
    return "YBR_FULL" if photometric == "YBR_FULL_422" else photometric


# --- apart ---
# Third-party decoders in a process of their own: a hang or a crash on a hostile film ends that process, not the server.
#
# pylibjpeg's libjpeg was seen to hang for ever on 58 damaged bytes, CharLS on data that ends too early
# (tests/tf_serve/test_dicom.py), and a thread that runs C cannot be stopped. The child gets what to decode, limits
# itself, and answers with bytes.

# The largest film that is read takes openjpeg 5 s of processor and imagecodecs 1; a decoder that hangs runs, so the
# processor's clock ends it. The other clock is for a host that is busy, and for one without the first.
PROCESSOR_SECONDS = 15
CLOCK_SECONDS = 45
_CHILD = Path(__file__).with_name("child.py")


# What installs each, and comes with the extra dicom.
_DISTRIBUTIONS = {"imagecodecs": "imagecodecs", "openjpeg": "pylibjpeg-openjpeg", "rle": "pylibjpeg-rle"}


def decode_apart(decoder: str, packed: bytes, *, frame: dict[str, int], most: int, name: str) -> bytes:
    """Decode one compressed frame.

    Args:
        decoder: a package that `child.decode` knows.
        packed: the compressed frame.
        frame: what `child.decode` is told of it.
        most: bytes that the decoded frame may have.
        name: how errors call the film.

    Raises:
        FilmError: the decoder is not installed, does not end, or does not like the frame.
    """
    if not _installed(decoder):
        distribution = _DISTRIBUTIONS[decoder]
        why = f"{distribution} is not installed here"
        raise FilmError(f"{name} is compressed DICOM", why=why, fix=f"pip install {distribution}, or send a PNG")
    order = json.dumps({"decoder": decoder, "frame": frame, "most": most, "seconds": PROCESSOR_SECONDS})
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_CHILD), order],
            input=packed,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=CLOCK_SECONDS,
            env=child_environment() | family_of_child(),
        )
    except subprocess.TimeoutExpired:
        raise damaged(name, f"its compressed picture does not decode within {CLOCK_SECONDS} s") from None
    if done.returncode or not done.stdout:
        raise damaged(name, "its compressed picture is damaged, or takes more time or memory than any film")
    return done.stdout
