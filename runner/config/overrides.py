"""Values from outside: `RUNNER__RISK__MAX_ORDER_QTY=5` is `risk: {max_order_qty: 5}` laid over the files."""

from __future__ import annotations

from collections.abc import Mapping

from runner.config.document import Entry, MapNode, Mark, Node, Scalar, entry_at, merge
from runner.config.introspect import known_keys
from runner.config.reader import Flaw, parse

PREFIX = "RUNNER__"


def override_tree(environ: Mapping[str, str], files: MapNode) -> tuple[MapNode, list[Flaw]]:
    """The overrides as a tree whose marks name the variables, and what is wrong with them.

    A value that begins with { or [ is read as YAML, `null` removes, anything else is text. Names are matched to
    the keys of the schema and of the files without regard to case.
    """
    tree: Node = MapNode(Mark(PREFIX, 0, 0))
    flaws: list[Flaw] = []
    variables = sorted((name for name in environ if name.startswith(PREFIX)), key=lambda name: (name.count("__"), name))
    for variable in variables:
        mark = Mark(variable, 0, 0)
        words = variable.removeprefix(PREFIX).split("__")
        if not all(words):
            flaws.append(Flaw(mark, "no key between two double underscores, write RUNNER__SECTION__KEY=value"))
            continue
        path: list[str] = []
        for word in words:
            path.append(_key(word, path, files))
        value = _value(environ[variable], mark, flaws, tuple(path))
        if value is None:
            continue
        for key in reversed(path):
            value = MapNode(mark, {key: Entry(mark, value)})
        tree = merge(tree, value)
    return (tree if isinstance(tree, MapNode) else MapNode(Mark(PREFIX, 0, 0))), flaws


def _key(word: str, path: list[str], files: MapNode) -> str:
    at = entry_at(files, path)
    present = list(at.value.entries) if at is not None and isinstance(at.value, MapNode) else []
    for candidate in [*present, *known_keys(path)]:
        if candidate.casefold() == word.casefold():
            return candidate
    return word.lower()


def _value(text: str, mark: Mark, flaws: list[Flaw], where: tuple[str, ...]) -> Node | None:
    if not text.strip():
        flaws.append(Flaw(mark, "empty, give it a value, or null to remove what the file says", where))
        return None
    if text.strip() in {"null", "~"}:
        return Scalar(None, mark)
    if text.lstrip()[0] not in "{[":
        return Scalar(text, mark, quoted=True)
    # A key of its own around it: PyYAML's positions mean nothing here, so that all marks become the variable's.
    parsed = parse(mark.path, f"value: {text}")
    if parsed.root is None or parsed.flaws or "value" not in parsed.root.entries:
        flaws.append(Flaw(mark, "not a YAML mapping or list, check its brackets and commas", where))
        return None
    return _at(parsed.root.entries["value"].value, mark)


def _at(node: Node, mark: Mark) -> Node:
    if isinstance(node, Scalar):
        return Scalar(node.text, mark, node.quoted)
    if isinstance(node, MapNode):
        return MapNode(mark, {key: Entry(mark, _at(entry.value, mark)) for key, entry in node.entries.items()})
    return type(node)(mark, tuple(_at(item, mark) for item in node.items))
