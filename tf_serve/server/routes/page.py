"""The pages for people: HTML, styles and scripts, from this package alone, and what they alone ask for."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from tf_serve.server.routes import screening

FOLDER = Path(__file__).parent.parent / "page"
router = APIRouter()
router.include_router(screening.page_router)


@router.get("/", include_in_schema=False)
async def films() -> FileResponse:
    """Give the page where films are dropped and answered."""
    return FileResponse(FOLDER / "index.html")


@router.get("/model", include_in_schema=False)
async def model() -> FileResponse:
    """Give the page that says what answers and how it was measured."""
    return FileResponse(FOLDER / "model.html")
