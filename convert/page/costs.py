"""The drawing of costs: a bar a file for its size, and one for its latency where that was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from convert.page.axes import svg, text

WIDTH, ROW, LEFT, RIGHT = 420, 34, 150, 84


def draw_bars(values: Mapping[str, float], words: Callable[[float], str], *, says: str) -> str:
    """Return horizontal bars from zero, in the order given.

    Args:
        values: by file; at least one, none negative.
        words: how a number is written beside its bar.
        says: what a screen reader reads.
    """
    most = max(values.values()) or 1.0
    rows = [
        _bar(name, value, most, 6 + ROW * index, words(value)) for index, (name, value) in enumerate(values.items())
    ]
    return svg(WIDTH, 12 + ROW * len(values), rows, says=says)


def _bar(name: str, value: float, most: float, top: float, words: str) -> str:
    width = max(1.0, (WIDTH - LEFT - RIGHT) * value / most)
    bar = f'<rect class="bar" x="{LEFT}" y="{top + 7:.1f}" width="{width:.1f}" height="{ROW - 14}" rx="2"/>'
    return (
        text(LEFT - 8, top + ROW / 2 + 4, name, "end", kind="row")
        + bar
        + text(LEFT + width + 6, top + ROW / 2 + 4, words, kind="row")
    )
