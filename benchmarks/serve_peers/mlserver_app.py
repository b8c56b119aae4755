"""MLServer serving the file; its `custom_handler` takes bytes, since its V2 REST takes tensors only as JSON numbers.

It answers on the event loop without worker processes: on one core that is its fastest way.
"""

from __future__ import annotations

from typing import Any

from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.handlers import custom_handler  # type: ignore[import-not-found]
from starlette.requests import Request

from benchmarks.serve_peers.answer import Answerer


class FilmModel(MLModel):  # type: ignore[misc]
    """The one model."""

    async def load(self) -> bool:
        """Open the file."""
        self._answerer = Answerer()
        return True

    @custom_handler(rest_path="/film")  # type: ignore[untyped-decorator]
    async def film(self, request: Request) -> dict[str, Any]:
        """Answer a whole PNG."""
        return self._answerer.of_film(await request.body())

    @custom_handler(rest_path="/tensor")  # type: ignore[untyped-decorator]
    async def tensor(self, request: Request) -> dict[str, Any]:
        """Answer the bytes of a prepared film."""
        return self._answerer.of_tensor(await request.body())
