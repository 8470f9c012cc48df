"""The rooms of both packages, read from the imports: a room is a sub-package, or a module directly in the package."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import grimp

PACKAGES = ("migration_lab", "migration_xray")  # each imports those after it


@dataclass(frozen=True)
class Room:
    """A room; ``imports`` has the names of the rooms that it imports, "migration_xray.traffic".

    An import inside a function counts too, and one that only a type checker follows.
    """

    name: str
    files: int
    is_package: bool
    imports: frozenset[str]

    @property
    def package(self) -> str:
        return self.name.split(".")[0]

    @property
    def label(self) -> str:
        """Its folder or its file: "traffic/" or "cli.py"."""
        name = self.name.partition(".")[2] or "__init__"
        return f"{name}/" if self.is_package else f"{name}.py"

    def imports_of(self, package: str) -> list[str]:
        """What it imports of one package, without the package's name, in the order of the alphabet."""
        return sorted(name.removeprefix(f"{package}.") for name in self.imports if name.split(".")[0] == package)


def imports() -> grimp.ImportGraph:
    """Every import of a module of ours by another."""
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)


def rooms(graph: grimp.ImportGraph) -> dict[str, Room]:
    """The rooms by name, in the order of the alphabet. What is in a package's own ``__init__`` counts as a room."""
    modules: dict[str, list[str]] = {}
    for module in sorted(graph.modules):
        modules.setdefault(room_of(module), []).append(module)
    return {
        name: Room(
            name,
            len(inside),
            name not in PACKAGES and bool(graph.find_children(name)),
            frozenset(room_of(one) for module in inside for one in graph.find_modules_directly_imported_by(module))
            - {name},
        )
        for name, inside in modules.items()
    }


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def essential(links: dict[str, Set[str]]) -> dict[str, list[str]]:
    """The links without those that a longer way replaces. They lead in no circle."""

    def beyond(name: str) -> set[str]:
        return {far for near in links[name] for far in links[near] | beyond(near)}

    return {name: sorted(links[name] - beyond(name)) for name in links}
