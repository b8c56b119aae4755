"""The page for people: one HTML file, its style and its script, from this package alone."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

FOLDER = Path(__file__).parent.parent / "page"
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """Give the page."""
    return FileResponse(FOLDER / "index.html")
