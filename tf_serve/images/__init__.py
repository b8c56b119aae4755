"""Films from outside, opened: whatever the container, grey pixels and what the file may say about them.

`open_film` is the one door of the serving half. It answers with an `OpenedFilm`, raises `FilmError` where the
bytes are damaged, too large or of another kind, and `Unfit` where a whole file says itself that it is no
frontal chest film (a lateral view, a CT slice, a film of many frames).
"""

from tf_serve.images.decode import FILM_SUFFIXES, FILM_TYPES, open_film
from tf_serve.images.types import FilmFacts, OpenedFilm, Unfit, UnfitReason

__all__ = ["FILM_SUFFIXES", "FILM_TYPES", "FilmFacts", "OpenedFilm", "Unfit", "UnfitReason", "open_film"]
