"""Names, dtypes, shapes and ranges of what goes into and comes out of every artefact."""

from __future__ import annotations

from dataclasses import dataclass

BATCH = -1  # the variable dimension, as the Open Inference Protocol writes it
EVIDENCE_SIDE = 7  # 224 / 32, the stride of a ResNet50's last stage


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor of an artefact."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    minimum: float | None = None
    maximum: float | None = None


def image_spec(*, channels_first: bool, dtype: str = "float32", size: int = 224) -> TensorSpec:
    """Return the input `image`: one grey film, values 0..255."""
    shape = (BATCH, 1, size, size) if channels_first else (BATCH, size, size, 1)
    return TensorSpec("image", dtype, shape, 0.0, 255.0)


def output_specs(*, evidence: bool = True) -> tuple[TensorSpec, ...]:
    """Return `logits`, `probability` and, but for the H5, `evidence`; always float32."""
    always = (
        TensorSpec("logits", "float32", (BATCH, 2)),
        TensorSpec("probability", "float32", (BATCH, 1), 0.0, 1.0),
    )
    side = EVIDENCE_SIDE
    return (*always, TensorSpec("evidence", "float32", (BATCH, side, side))) if evidence else always
