"""Reads a YAML file into a tree of `document`, and finds what YAML itself lets pass: duplicate keys, tags, cycles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from runner.config.document import Entry, ListNode, MapNode, Mark, Node, Scalar, Step

# Aliases can make a small file expand without end; no honest one comes near this.
MOST_NODES = 50_000
DEEPEST = 50
_NULL = "tag:yaml.org,2002:null"
_STANDARD = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "merge", "value", "binary", "set")
)


@dataclass(frozen=True, slots=True)
class Flaw:
    """A mistake before there is a schema: where it stands and what it is."""

    mark: Mark
    message: str
    where: tuple[Step, ...] = ()


@dataclass(slots=True)
class Parsed:
    """What could be read of one file. `root` is None where it could not be parsed at all."""

    path: str
    lines: list[str] = field(default_factory=list)
    root: MapNode | None = None
    flaws: list[Flaw] = field(default_factory=list)
    # What the tree could not hold, by the path of the mapping that had it twice: it may be a secret all the same.
    dropped: list[tuple[tuple[Step, ...], MapNode]] = field(default_factory=list)


def read(path: Path) -> Parsed:
    """Parse one file; never raises for what is in it or for its being away."""
    name = str(path)
    result = Parsed(name)
    nowhere = Mark(name, 0, 0)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        result.flaws.append(Flaw(nowhere, "no such file"))
        return result
    except IsADirectoryError:
        result.flaws.append(Flaw(nowhere, "this is a folder, name a file in it"))
        return result
    except OSError as error:
        result.flaws.append(Flaw(nowhere, f"can't be read: {error.strerror}"))
        return result
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        mark = Mark(name, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        result.lines = raw.decode("utf-8", "replace").splitlines()
        result.flaws.append(Flaw(mark, "not UTF-8, save the file in that encoding"))
        return result
    return parse(name, text, result)


def parse(name: str, text: str, result: Parsed | None = None) -> Parsed:
    """Parse YAML text that calls itself `name`."""
    result = Parsed(name) if result is None else result
    result.lines = text.split("\n")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        flaw = Flaw(Mark(name, before.count("\n") + 1, column), f"the character U+{code:04X} is not allowed")
        result.flaws.append(flaw)
        return result
    except yaml.MarkedYAMLError as error:
        result.flaws.append(_syntax(name, error, result.lines))
        return result
    except RecursionError:
        result.flaws.append(Flaw(Mark(name, 1, 1), f"nested deeper than {DEEPEST} levels"))
        return result
    if node is None:
        result.flaws.append(Flaw(Mark(name, 0, 0), "the file is empty"))
        return result
    converter = _Converter(name, result)
    root = converter.convert(node, ())
    if isinstance(root, MapNode):
        result.root = root
    else:
        result.flaws.append(Flaw(root.mark, "not a mapping, write keys such as `name: …` at the top"))
    return result


def _syntax(name: str, error: yaml.MarkedYAMLError, lines: list[str]) -> Flaw:
    at = error.problem_mark or error.context_mark
    line, column = (at.line, at.column) if at is not None else (0, 0)
    problem = error.problem or "not YAML"
    # PyYAML's own words may quote the text, which may be a secret.
    message = "not YAML: " + re.sub(r"'[^']{2,}'", "…", problem)
    text = lines[line] if line < len(lines) else ""
    if "'\\t'" in problem or text[: column + 1].endswith("\t"):
        message = "a tab, YAML is indented with spaces"
    elif problem.startswith("mapping values are not allowed"):
        message = "a second `:` in this line, put a text that holds `: ` in quotes"
        if ":" not in text[:column]:
            message = "a key that belongs to nothing, line it up with its neighbours or end the line above with `:`"
    elif problem.startswith("found character"):
        character = problem.split("'")[1]
        message = f"nothing can begin with {character} here, put the text in quotes"
    elif "quoted scalar" in (error.context or "") and "unexpected end" in problem and error.context_mark is not None:
        line, column = error.context_mark.line, error.context_mark.column
        message = "a quote that is never closed"
    elif problem.startswith("expected <block end>"):
        message = "this line is indented unlike its neighbours, line it up with them"
    elif problem.startswith("could not find expected ':'"):
        message = "a key without `:`, write `key: value`"
        if error.context_mark is not None:
            line, column = error.context_mark.line, error.context_mark.column
    elif problem.startswith("found undefined alias"):
        message = "an alias of no anchor in this file, write & where it is first used, or put the text in quotes"
    elif "another document" in problem:
        message = "a second document (`---`), write one file for each and name both: runner base.yaml more.yaml"
    elif "but got '<stream end>'" in problem or "while parsing a flow" in (error.context or ""):
        if error.context_mark is not None:
            line, column = error.context_mark.line, error.context_mark.column
        message = "opened here and not closed as it should be, check the brackets and commas after it"
    # At the end of the stream PyYAML points behind the last line.
    if line >= len(lines) or (line == len(lines) - 1 and not lines[line] and line > 0):
        line = max(len(lines) - 2, 0)
        column = len(lines[line])
    return Flaw(Mark(name, line + 1, column + 1), message)


class _Converter:
    def __init__(self, name: str, result: Parsed) -> None:
        self.name = name
        self.result = result
        self.count = 0
        self.open: set[int] = set()

    def mark(self, node: yaml.Node) -> Mark:
        start, end = node.start_mark, node.end_mark
        if end.line == start.line:
            width = end.column - start.column
        elif isinstance(node, yaml.ScalarNode):
            width = len(self.result.lines[start.line]) - start.column
        else:
            width = 1
        return Mark(self.name, start.line + 1, start.column + 1, max(width, 1))

    def flaw(self, mark: Mark, message: str, path: tuple[Step, ...]) -> None:
        self.result.flaws.append(Flaw(mark, message, path))

    def convert(self, node: yaml.Node, path: tuple[Step, ...]) -> Node:
        mark = self.mark(node)
        self.count += 1
        if id(node) in self.open:
            self.flaw(mark, "an alias of something that it is part of", path)
            return Scalar(None, mark)
        if len(self.open) > DEEPEST:
            self.flaw(mark, f"nested deeper than {DEEPEST} levels", path)
            return Scalar(None, mark)
        if self.count > MOST_NODES:
            if self.count == MOST_NODES + 1:
                self.flaw(mark, f"more than {MOST_NODES} values with its aliases written out", path)
            return Scalar(None, mark)
        if node.tag not in _STANDARD:
            self.flaw(mark, "a tag (!…) has no meaning here, leave it out or put the text in quotes", path)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, mark, path)
            if isinstance(node, yaml.SequenceNode):
                return ListNode(mark, tuple(self.convert(item, (*path, i)) for i, item in enumerate(node.value)))
        finally:
            self.open.discard(id(node))
        assert isinstance(node, yaml.ScalarNode)
        quoted = node.style is not None
        null = node.tag == _NULL and not quoted
        return Scalar(None if null else str(node.value), mark, quoted)

    def mapping(self, node: yaml.MappingNode, mark: Mark, path: tuple[Step, ...]) -> MapNode:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key_mark = self.mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.flaw(key_mark, "a key must be a plain name", path)
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                self.merge_key(value_node, merged, path)
                continue
            here = (*path, key)
            if key in entries:
                self.flaw(key_mark, f"written twice, first in line {entries[key].key_mark.line}: keep one", here)
                again = MapNode(mark, {key: Entry(key_mark, self.convert(value_node, here))})
                self.result.dropped.append((path, again))
                continue
            entries[key] = Entry(key_mark, self.convert(value_node, here))
        # An explicit key wins over a merged one, but stands where it would without the merge.
        return MapNode(mark, {**{k: v for k, v in merged.items() if k not in entries}, **entries})

    def merge_key(self, node: yaml.Node, merged: dict[str, Entry], path: tuple[Step, ...]) -> None:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            value = self.convert(source, path)
            if not isinstance(value, MapNode):
                self.flaw(self.mark(source), "`<<` takes an alias of a mapping", path)
                continue
            for key, entry in value.entries.items():
                merged.setdefault(key, entry)
