"""Whether a bundle's archives unpack to what they should be, found out before one byte of them is unpacked."""

from __future__ import annotations

import zipfile

from tbconv.contract.bundle import MAKE_AGAIN, Bundle
from tbconv.contract.errors import ArtefactError
from tbconv.contract.golden import GOLDEN
from tbconv.contract.golden_films import GOLDEN_FILMS

# Bytes in all; 16 squares and 12 witnesses' answers are 1 MB, drawn films a few. Zeros pack a thousand to one.
MOST = 64 * 1024 * 1024


def check_archives(bundle: Bundle) -> None:
    """Refuse a bundle whose golden files would fill the memory.

    Raises:
        ArtefactError: an archive is damaged, or says that it unpacks to more than it can hold.
    """
    for name in (GOLDEN, GOLDEN_FILMS):
        if name not in bundle.manifest.files:
            continue
        try:
            with zipfile.ZipFile(bundle.path(name)) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except (OSError, zipfile.BadZipFile) as error:
            raise ArtefactError(f"{name} is damaged", why=str(error), fix=MAKE_AGAIN) from error
        if unpacked > MOST:
            why = f"it unpacks to {unpacked / 2**20:,.0f} MB, {MOST / 2**20:.0f} MB are the most"
            raise ArtefactError(f"{name} is no record of golden films", why=why, fix=MAKE_AGAIN)
