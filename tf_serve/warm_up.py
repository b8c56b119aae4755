"""One drawn film through everything, before the first real one has to wait for decoders and the gate's figures."""

from __future__ import annotations

import contextlib
import io

from PIL import Image

from tbconv.contract.errors import TbconvError
from tf_serve.guards import Tripped
from tf_serve.predict import screen
from tf_serve.registry import Loaded


def warm_up(loaded: Loaded) -> None:
    """Ask a version about a grey wedge; what it says of it does not matter."""
    picture = io.BytesIO()
    Image.linear_gradient("L").save(picture, "PNG")
    with contextlib.suppress(TbconvError, Tripped):
        screen(picture.getvalue(), loaded.served, loaded.bundle.manifest)
