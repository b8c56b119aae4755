"""Which films belong together: the connected components of all the reasons that join them."""

from __future__ import annotations

from collections.abc import Iterable


def join_groups(count: int, groups: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    """Return the connected components of 0..count-1, singles included, each sorted, by first member."""
    parent = list(range(count))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for group in groups:
        first, *rest = map(root, group)
        for other in rest:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    members: dict[int, list[int]] = {}
    for index in range(count):
        members.setdefault(root(index), []).append(index)
    return tuple(tuple(group) for group in members.values())
