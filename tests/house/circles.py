"""Circles: things of which each leads to every other."""

from collections.abc import Mapping, Set


def circles(arrows: Mapping[str, Set[str]]) -> list[frozenset[str]]:
    """The largest circles, by Tarjan's algorithm; sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            members = frozenset(stack[at:])
            del stack[at:]
            if len(members) > 1:
                found.append(members)

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return sorted(found, key=sorted)
