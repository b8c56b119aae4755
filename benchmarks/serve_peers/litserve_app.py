"""LitServe serving the file: one worker process, as it does by default on a machine without a GPU."""

# no `from __future__ import annotations`: LitServe hands the annotation itself to FastAPI
import sys
from typing import Annotated, Any

import litserve  # type: ignore[import-not-found]
from fastapi import Body

from benchmarks.serve_peers.answer import Answerer

# Declared as a Request, LitServe would parse the body as JSON or as a form; so it is taken as it is, which is faster.
Raw = Annotated[bytes, Body(media_type="application/octet-stream")]


class FilmAPI(litserve.LitAPI):  # type: ignore[misc]
    """A whole PNG a request."""

    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe passes it)
        """Open the file."""
        self.answerer = Answerer()

    def decode_request(self, request: Raw) -> bytes:
        """Take the body as it is."""
        return request

    def predict(self, data: bytes) -> dict[str, Any]:
        """Answer it."""
        return self.answerer.of_film(data)

    def encode_response(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Give it as JSON."""
        return answer


class TensorAPI(FilmAPI):
    """The bytes of a prepared film a request."""

    def predict(self, data: bytes) -> dict[str, Any]:
        """Answer it."""
        return self.answerer.of_tensor(data)


if __name__ == "__main__":
    apis = [FilmAPI(api_path="/film"), TensorAPI(api_path="/tensor")]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
