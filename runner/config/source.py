"""The tree of all files and overrides with their text: makes errors that show the line, and hides secrets in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.config.document import Entry, ListNode, MapNode, Mark, Node, Scalar, Step, dotted, nearest, walk
from runner.config.errors import ConfigError, Stage
from runner.config.secrets import MASK, is_variable

# Of a line that is shown, in characters.
LONGEST = 140
_SECRET_KEY = re.compile(
    r"(?:^|[_-])keys?(?:$|[_-])|[a-z]Key|api_?key|secret|token|passw|passphrase|credential", re.IGNORECASE
)
_SECRET_LINE = re.compile(
    r"^([^#]*?(?:key|secret|token|passw|passphrase|credential)[\w-]*[\"']?\s*:\s*)(\S.*)$", re.IGNORECASE
)
_URL_WITH_PASSWORD = re.compile(r"://[^/\s]*@")
_REFERENCE = re.compile(r"\{\s*(?:env\s*:\s*[A-Za-z]+_\w+|file\s*:\s*[^\s,{}]+)\s*\}\s*,?(?:\s+#.*)?")
_KEY_ALONE = re.compile(r"[\"']?[\w-]+[\"']?\s*:\s*(?:[|>][+-]?)?\s*(?:#.*)?$")


def is_secret_key(step: Step) -> bool:
    return isinstance(step, str) and _SECRET_KEY.search(step) is not None


def under_secret(path: Sequence[Step]) -> bool:
    """Whether the value at `path` may be a secret, by the names of the keys on the way."""
    chosen = len(path) > 1 and path[0] in {"feeds", "accounts", "strategies"}
    return any(is_secret_key(step) for i, step in enumerate(path) if not (chosen and i == 1))


@dataclass(slots=True)
class Source:
    """`root` is the merged tree; `lines` the text of each file by its name."""

    root: MapNode
    lines: dict[str, list[str]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    parsed: bool = True
    _spans: dict[tuple[str, int], list[tuple[int, int]]] | None = None

    def key_mark(self, path: Sequence[Step]) -> Mark:
        """Where the key at `path` stands, or the nearest that there is above it."""
        return self._start(nearest(self.root, path))

    def value_mark(self, path: Sequence[Step]) -> Mark:
        """Where the value at `path` stands; a mapping or list is shown by its key."""
        entry, steps = nearest(self.root, path)
        if steps == len(path) and isinstance(entry.value, Scalar):
            return entry.value.mark
        return self._start((entry, steps))

    def _start(self, found: tuple[Entry, int]) -> Mark:
        entry, steps = found
        if steps == 0 and self.files:
            return Mark(entry.key_mark.path, 1, 1)
        return entry.key_mark

    def error(self, stage: Stage, mark: Mark, path: Sequence[Step] | str, message: str) -> ConfigError:
        where = path if isinstance(path, str) else dotted(self._hidden(path))
        if not mark.in_file:
            return ConfigError(stage, mark.path, None, None, where, message)
        text, column, width = self.excerpt(mark)
        return ConfigError(stage, mark.path, mark.line, mark.column, where, message, text, column, width)

    def _hidden(self, path: Sequence[Step]) -> Iterator[Step]:
        """A key inside a secret that is neither env nor file may be the secret itself."""
        for i, step in enumerate(path):
            yield "…" if under_secret(path[:i]) and step not in {"env", "file"} else step

    def excerpt(self, mark: Mark) -> tuple[str | None, int, int]:
        """The line of `mark` with secrets masked, and where the caret goes in it (column from 1, width)."""
        lines = self.lines.get(mark.path, [])
        if mark.line > len(lines):
            return None, 1, 1
        line = lines[mark.line - 1].rstrip("\r")
        start, end = mark.column - 1, mark.column - 1 + mark.width
        spans = self._secret_spans().get((mark.path, mark.line), []) if self.parsed else _guess(lines, mark.line - 1)
        shift = 0
        for low, high in sorted(set(spans)):
            low, high = low + shift, min(high + shift, len(line))
            if high <= low:
                continue
            line = line[:low] + MASK + line[high:]
            change = len(MASK) - (high - low)
            shift += change
            if start >= high:
                start, end = start + change, end + change
            elif end > low:
                start = min(start, low) if start < low else low
                end = max(end + change, low + len(MASK))
        visible = "".join(" " if character == "\t" else character for character in line)
        visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in visible)
        start = min(start, len(visible))
        if len(visible) > LONGEST:
            # A window around the caret: flow mappings can fill a line of any length.
            low = max(0, min(start - LONGEST // 3, len(visible) - LONGEST))
            high = low + LONGEST
            more = high < len(visible)
            visible = ("…" if low else "") + visible[low:high] + ("…" if more else "")
            start, end = start - low + bool(low), min(end, high) - low + bool(low)
        return visible, start + 1, max(1, min(end, max(len(visible), start + 1)) - start)

    def secret_texts(self) -> list[str]:
        """Texts in the files that stand where a secret may: in a strategy's parameters they are allowed."""
        return [
            node.text
            for path, _, node in walk(self.root)
            if isinstance(node, Scalar) and node.text is not None and under_secret(path)
            if path[-1] not in {"env", "file"} and len(node.text) >= 8
        ]

    def _secret_spans(self) -> dict[tuple[str, int], list[tuple[int, int]]]:
        if self._spans is None:
            self._spans = {}
            for mark in _secret_marks(self.root, ()):
                self._spans.setdefault((mark.path, mark.line), []).append(
                    (mark.column - 1, mark.column - 1 + mark.width)
                )
        return self._spans


def _secret_marks(node: Node, path: tuple[Step, ...]) -> Iterator[Mark]:
    if isinstance(node, Scalar):
        if node.text is not None and (under_secret(path) or _URL_WITH_PASSWORD.search(node.text)):
            yield node.mark
        return
    if isinstance(node, ListNode):
        for item in node.items:
            yield from _secret_marks(item, path)
        return
    for key, entry in node.entries.items():
        if under_secret(path):
            if key not in {"env", "file"}:
                yield entry.key_mark
            elif isinstance(entry.value, Scalar) and not (key == "env" and not is_variable(entry.value.text or "")):
                continue
        yield from _secret_marks(entry.value, (*path, key))


def _guess(lines: list[str], index: int) -> list[tuple[int, int]]:
    """Spans to mask in a line of a file that could not be parsed: whatever may be the value of a secret."""
    line = lines[index]
    if (match := _SECRET_LINE.match(line)) is not None:
        return (
            [] if _REFERENCE.fullmatch(match[2].strip().rstrip(",}")) or _REFERENCE.match(match[2]) else [match.span(2)]
        )
    before = next((text.strip() for text in reversed(lines[:index]) if text.strip()), "")
    if _KEY_ALONE.fullmatch(before) and is_secret_key(before.partition(":")[0].strip("\"' ")):
        stripped = line.strip()
        if not re.match(r"(env|file)\s*:", stripped):
            low = len(line) - len(line.lstrip())
            return [(low, len(line.rstrip()))]
    return []
