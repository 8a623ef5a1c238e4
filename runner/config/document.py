"""A YAML file as a tree that remembers where each key and value stands, and keeps each scalar's source text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Step = str | int


@dataclass(frozen=True, slots=True)
class Mark:
    """A place: `line` and `column` count from 1; both are 0 for an environment variable, whose name is `path`."""

    path: str
    line: int
    column: int
    width: int = 1

    @property
    def in_file(self) -> bool:
        return self.line > 0


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` is None for a null. `quoted` tells the text "null" from a null, and "10" from 10."""

    text: str | None
    mark: Mark
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    key_mark: Mark
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListNode:
    mark: Mark
    items: tuple[Node, ...] = ()


type Node = Scalar | MapNode | ListNode
type Plain = str | dict[str, Plain] | list[Plain] | None


def plain(node: Node) -> Plain:
    """The tree as dicts, lists, texts and None."""
    if isinstance(node, MapNode):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.text


def merge(below: Node, above: Node) -> Node:
    """`above` laid over `below`: mappings merge, all else replaces; a null replaces, which removes."""
    if not (isinstance(below, MapNode) and isinstance(above, MapNode)):
        return above
    entries = dict(below.entries)
    for key, entry in above.entries.items():
        old = entries.get(key)
        if old is None:
            entries[key] = entry
        else:
            merged = merge(old.value, entry.value)
            # A mapping that lives in both keeps the place where it began; anything else is where it was last said.
            entries[key] = Entry(old.key_mark if isinstance(merged, MapNode) else entry.key_mark, merged)
    return MapNode(below.mark, entries)


def entry_at(root: Node, path: Sequence[Step]) -> Entry | None:
    """The entry (or list item, whose key is itself) at `path`; None where the tree has none."""
    entry: Entry | None = Entry(root.mark, root)
    for step in path:
        if entry is None:
            return None
        node = entry.value
        if isinstance(node, MapNode):
            entry = node.entries.get(str(step))
        elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            entry = Entry(node.items[step].mark, node.items[step])
        else:
            return None
    return entry


def nearest(root: Node, path: Sequence[Step]) -> tuple[Entry, int]:
    """The deepest entry that exists on the way to `path`, and how many steps lead to it."""
    for length in range(len(path), 0, -1):
        if (entry := entry_at(root, path[:length])) is not None:
            return entry, length
    return Entry(root.mark, root), 0


def walk(node: Node, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Mark, Node]]:
    """Every node with its path and the mark of its key, parents first."""
    if isinstance(node, MapNode):
        for key, entry in node.entries.items():
            yield (*path, key), entry.key_mark, entry.value
            yield from walk(entry.value, (*path, key))
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield (*path, index), item.mark, item
            yield from walk(item, (*path, index))


def dotted(path: Iterable[Step]) -> str:
    return ".".join(str(step) for step in path)
