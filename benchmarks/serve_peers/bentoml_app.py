"""BentoML serving the file: one worker process, a positional argument so that the body is taken as it is."""

# no `from __future__ import annotations`: BentoML reads them
from typing import Annotated, Any

import bentoml  # type: ignore[import-not-found]

from benchmarks.serve_peers.answer import Answerer

Raw = Annotated[bytes, bentoml.validators.ContentType("application/octet-stream")]


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class FilmService:
    """The one service."""

    def __init__(self) -> None:
        self._answerer = Answerer()

    @bentoml.api  # type: ignore[untyped-decorator]
    def film(self, data: Raw, /) -> dict[str, Any]:
        """Answer a whole PNG."""
        return self._answerer.of_film(data)

    @bentoml.api  # type: ignore[untyped-decorator]
    def tensor(self, data: Raw, /) -> dict[str, Any]:
        """Answer the bytes of a prepared film."""
        return self._answerer.of_tensor(data)
