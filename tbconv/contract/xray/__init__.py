"""The one path from the bytes of a film to grey pixels, shared by training, conversion and serving.

Everything that can make two programs see two different films in the same file is settled here: container, colour,
alpha, palette, bit depth, window, polarity, orientation. `open_film` takes bytes or a path and returns a `Film`: its
pixels, uint8 [H, W], what the file states of them, and the limits that an answer has to carry. It raises `FilmError`
where the bytes are damaged, too large or of another kind, and `Rejected`, a `FilmError` with a reason code, where a
whole file states itself that it is no frontal chest film (a lateral view, a CT slice, a film of many frames).

pydicom and the codecs of DICOM (extra `dicom`) are imported when the first DICOM film comes. Between bytes and film
stand three more containers: `StreamHeader` (a compressed picture's own header), `dicom.dataset.DicomHeader` and
`dicom.decoders.StoredFrame` (values before any table).
"""

from tbconv.contract.xray.decode import (
    FILM_TYPES,
    decode_xray,
    describe_xray,
    may_be_film,
    open_film,
    read_xray,
)
from tbconv.contract.xray.film import Film, Rejected, RejectionReason
from tbconv.contract.xray.folder import FILM_SUFFIXES, read_bytes
from tbconv.contract.xray.kinds import TEXT, UNKNOWN, what_it_is, why_no_film
from tbconv.contract.xray.picture import MAX_PIXELS, XrayFacts, open_xray

__all__ = [
    "FILM_SUFFIXES",
    "FILM_TYPES",
    "MAX_PIXELS",
    "TEXT",
    "UNKNOWN",
    "Film",
    "Rejected",
    "RejectionReason",
    "XrayFacts",
    "decode_xray",
    "describe_xray",
    "may_be_film",
    "open_film",
    "open_xray",
    "read_bytes",
    "read_xray",
    "what_it_is",
    "why_no_film",
]
