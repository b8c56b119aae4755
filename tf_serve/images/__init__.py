"""Films from outside, opened: whatever the container, grey pixels and what the file states of them.

`open_film` is the one door of the serving half. It returns a `Film`, raises `FilmError` where the bytes are damaged,
too large or of another kind, and `Rejected` where a whole file states itself that it is no frontal chest film (a
lateral view, a CT slice, a film of many frames). Between the bytes and the film stand three more containers:
`StreamHeader` (a compressed picture's own header), `dicom.dataset.DicomHeader` and `dicom.decoders.StoredFrame`
(values before any table).
"""

from tf_serve.images.decode import FILM_SUFFIXES, FILM_TYPES, may_be_film, open_film
from tf_serve.images.film import Film, Rejected, RejectionReason
from tf_serve.images.kinds import TEXT, UNKNOWN, what_it_is, why_no_film

__all__ = [
    "FILM_SUFFIXES",
    "FILM_TYPES",
    "TEXT",
    "UNKNOWN",
    "Film",
    "Rejected",
    "RejectionReason",
    "may_be_film",
    "open_film",
    "what_it_is",
    "why_no_film",
]
