"""Is it a frontal chest film by its own words? A tag that is missing or unknown never speaks against a film."""

from __future__ import annotations

import re

from pydicom.uid import UID

from tf_serve.films.dicom.header import Header
from tf_serve.films.unfit import Unfit, UnfitReason

# Plain radiographs: DX, CR, RG (film) and DR as some devices write it. OT, SC and HC are what digitised films and
# secondary captures are filed under, so they say nothing against one.
RADIOGRAPHS = frozenset(("DX", "CR", "RG", "DR", "OT", "SC", "HC"))
FRONTAL = ("PA", "AP")
# Defined terms of DX View Position (PS3.3 C.8.11.5.1.1) and the free words of CR devices.
LATERAL = frozenset(("LL", "RL", "LAT", "LLAT", "RLAT"))
OTHER_VIEW = frozenset(("LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "LLD", "RLD", "OBL", "DECUB"))
_LATERAL_WORDS = re.compile(r"LATERAL|\bLAT\b")
_OTHER_WORDS = re.compile(r"OBLIQUE|DECUBITUS|\bOBL\b|\bDECUB\b")
# Body Part Examined (PS3.16 annex L) is often missing or wrong, so only parts far from the chest speak against it.
OTHER_PARTS = frozenset(
    (
        *("SKULL", "HEAD", "BRAIN", "JAW", "SINUS", "ORBIT", "HAND", "FINGER", "THUMB", "WRIST", "FOREARM", "ELBOW"),
        *("HUMERUS", "HIP", "PELVIS", "FEMUR", "THIGH", "KNEE", "PATELLA", "LEG", "TIBIA", "FIBULA", "ANKLE", "FOOT"),
        *("TOE", "CALCANEUS", "LSPINE", "CSPINE", "SSPINE", "COCCYX", "BREAST", "TEETH", "TOOTH"),
    )
)
RAW_INTENT = "FOR PROCESSING"  # Presentation Intent Type (PS3.3 C.8.11.2.1.2)


def refuse_unfit(header: Header) -> None:
    """Raise Unfit with the first reason that the file gives itself."""
    view = header.view
    reasons = (
        (UnfitReason.OTHER_MODALITY, header.modality and header.modality not in RADIOGRAPHS),
        (UnfitReason.OTHER_BODY_PART, header.body_part in OTHER_PARTS),
        (UnfitReason.NOT_FOR_VIEWING, header.intent == RAW_INTENT),
        (UnfitReason.OTHER_VIEW, view in OTHER_VIEW or _OTHER_WORDS.search(view)),  # first: a lateral decubitus
        (UnfitReason.LATERAL_VIEW, view in LATERAL or _LATERAL_WORDS.search(view)),
        (UnfitReason.MULTI_FRAME, header.frames > 1),
        (UnfitReason.NO_PICTURE, not header.pictured and _stores_no_picture(header.sop_class)),
    )
    for reason, holds in reasons:
        if holds:
            raise Unfit(reason)


def _stores_no_picture(sop_class: str) -> bool:
    """Whether a file is of a kind without pictures; a radiograph that lacks its picture is damaged instead."""
    return bool(sop_class) and "Image Storage" not in UID(sop_class).name
