"""Finds the entries of nodes, for tests that have a list of them in place of a `RunHistory`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nfrun.history.journal import RecordedNode


class EntriesOfNodes:
    """The methods of a `RunHistory` that look for entries, over `of_node`."""

    def of_node(self, node: str) -> list[RecordedNode]:
        """Return the entries of a node, the latest first."""
        raise NotImplementedError

    def last(self, node: str) -> RecordedNode | None:
        return next(iter(self.of_node(node)), None)

    def of_key(self, node: str, key: str) -> Iterator[RecordedNode]:
        yield from self.of_node(node)

    def has_definition(self, node: str, definition: Mapping[str, str]) -> bool:
        return any(definition.items() <= entry.key_inputs.items() for entry in self.of_node(node))

    def that_wrote(self, node: str) -> Iterator[RecordedNode]:
        return (entry for entry in self.of_node(node) if entry.wrote)

    def compared(self, node: str) -> RecordedNode | None:
        return next((entry for entry in self.of_node(node) if entry.key is not None), None)
