"""The tree of all files and overrides with their text: makes errors that show the line, and hides secrets in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.config.document import Entry, ListNode, MapNode, Mark, Node, Scalar, Step, dotted, nearest, walk
from runner.config.errors import ConfigError, Stage
from runner.config.secrets import MASK, is_variable, looks_like_secret

# Of a line that is shown, in characters.
LONGEST = 140
_SECRET_KEY = re.compile(
    r"(?:^|[^A-Za-z0-9])keys?(?:$|[^A-Za-z0-9])|[a-z]Key|api_?key|secret|token|passw|passphrase|credential",
    re.IGNORECASE,
)
#: Whose keys are names that the file's author chose.
NAMED_SECTIONS = ("feeds", "accounts", "strategies", "exec_algorithms", "actors")
_HARMLESS = frozenset(
    {
        "adjustment",
        "broker",
        "data_url",
        "feed",
        "greeks_interval",
        "limits",
        "market",
        "source",
        "stream_url",
        "updated_bars",
        "url",
    }
)
# Of a file that can't be parsed, by its text alone: a key and what follows it, a reference, a key left open.
_SECRET_LINE = re.compile(r"(?:key|secret|token|passw|passphrase|credential)[\w-]*[^\w]*[:=?]\s*(?=\S)", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_URL_WITH_PASSWORD = re.compile(r"://[^/\s]*@")
_REFERENCE = re.compile(r"\{\s*(?:env\s*:\s*[A-Za-z]+_\w+|file\s*:\s*[^\s,{}\"']+)\s*\}(?=\s*(?:[,}#]|$))")
_SECRET_OPEN = re.compile(r"(?:key|secret|token|passw|passphrase|credential)[\w-]*[^\w]*$", re.IGNORECASE)
_PLACE = re.compile(r"\s*[\"']?(?:env|file)[\"']?\s*:")


def is_secret_key(step: Step) -> bool:
    return isinstance(step, str) and _SECRET_KEY.search(step) is not None


def under_secret(path: Sequence[Step]) -> bool:
    """Whether the value at `path` may be a secret, by the names of the keys on the way."""
    if len(path) > 2 and path[0] in {"feeds", "accounts"} and path[2] not in _HARMLESS:
        # A key may be misspelt: whatever is not known to be harmless here may be one.
        return True
    if tuple(path[:2]) == ("alerts", "webhook"):
        # Who knows the address can write there; it is easily written here instead of under url.
        return True
    chosen = len(path) > 1 and path[0] in NAMED_SECTIONS
    return any(is_secret_key(step) for i, step in enumerate(path) if not (chosen and i == 1))


def _hidden_key(parents: Sequence[Step], key: Step) -> bool:
    """Whether a key may itself be a secret: what stands in a secret's place, or has slipped in among its neighbours."""
    if not isinstance(key, str):
        return False
    if under_secret(parents):
        return key not in {"env", "file"}
    among = len(parents) > 1 and parents[0] in {"feeds", "accounts"}
    return among and (looks_like_secret(key) or re.fullmatch(r"[A-Za-z_][\w-]*", key) is None)


@dataclass(slots=True)
class Source:
    """`root` is the merged tree; `lines` the text of each file by its name."""

    root: MapNode
    lines: dict[str, list[str]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    # Files that YAML itself refused in part: the tree does not hold all of their text.
    unsure: frozenset[str] = frozenset()
    dropped: tuple[tuple[tuple[Step, ...], MapNode], ...] = ()
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
            yield "…" if _hidden_key(path[:i], step) else step

    def excerpt(self, mark: Mark) -> tuple[str | None, int, int]:
        """The line of `mark` with secrets masked, and where the caret goes in it (column from 1, width)."""
        lines = self.lines.get(mark.path, [])
        if mark.line > len(lines):
            return None, 1, 1
        line = lines[mark.line - 1].rstrip("\r")
        start, end = mark.column - 1, mark.column - 1 + mark.width
        if (comment := _COMMENT.search(line)) is not None and comment.start() >= start:
            # What somebody keeps in a comment beside a key is not ours to show.
            line = line[: comment.start()]
        spans = self._secret_spans().get((mark.path, mark.line), [])
        unsure = mark.path in self.unsure
        if unsure or (mark.path, mark.line) not in self._understood():
            spans = _joined([*spans, *_guess(lines, mark.line - 1, unsure=unsure)])
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

    def _understood(self) -> set[tuple[str, int]]:
        """Lines whose secrets the tree knows as such."""
        return {(node.mark.path, node.mark.line) for path, _, node in walk(self.root) if under_secret(path)}

    def _secret_spans(self) -> dict[tuple[str, int], list[tuple[int, int]]]:
        if self._spans is None:
            self._spans = {}
            whole = [((), self.root), *self.dropped]
            for mark in (mark for path, node in whole for mark in _secret_marks(node, path)):
                self._spans.setdefault((mark.path, mark.line), []).append(
                    (mark.column - 1, mark.column - 1 + mark.width)
                )
        return self._spans


def _slipped(path: Sequence[Step]) -> bool:
    """Whether a text has slipped to where an account or the like should be, by its indentation."""
    return len(path) == 2 and path[0] in NAMED_SECTIONS and is_secret_key(path[1])


def _secret_marks(node: Node, path: tuple[Step, ...]) -> Iterator[Mark]:
    if isinstance(node, Scalar):
        if node.text is not None and (under_secret(path) or _slipped(path) or _URL_WITH_PASSWORD.search(node.text)):
            yield node.mark
        return
    if isinstance(node, ListNode):
        for item in node.items:
            yield from _secret_marks(item, path)
        return
    for key, entry in node.entries.items():
        if _hidden_key(path, key):
            yield entry.key_mark
        elif under_secret(path) and (key == "file" or is_variable(getattr(entry.value, "text", None) or "")):
            continue
        yield from _secret_marks(entry.value, (*path, key))


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def _guess(lines: list[str], index: int, *, unsure: bool) -> list[tuple[int, int]]:
    """Spans to mask by a line's text alone: whatever may be the value of a secret.

    YAML may have read a broken line as something else than was meant. `unsure`: it could not read it at all.
    """
    line = lines[index]
    at = 0
    while (match := _SECRET_LINE.search(line, at)) is not None:
        value = match.end()
        reference = _REFERENCE.match(line, value)
        if reference is None:
            return [(value, len(line.rstrip()))]
        at = reference.end()
    if not unsure:
        return []
    # A text without a key of its own may have come loose from the one above.
    loose = re.search(r"\w[\"']?\s*:", line) is None and re.search(r"[\w/+=-]{8,}", line) is not None
    if loose or (any(_SECRET_OPEN.search(above) for above in _above(lines, index)) and not _PLACE.match(line)):
        return [(len(line) - len(line.lstrip()), len(line.rstrip()))]
    return []


def _above(lines: list[str], index: int) -> Iterator[str]:
    """The line before, and those that a line's indentation puts it under."""
    indent = len(lines[index]) - len(lines[index].lstrip())
    nearest_one = True
    for line in reversed(lines[:index]):
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if nearest_one or depth < indent:
            yield _REFERENCE.sub("reference", line.partition(" #")[0])
        nearest_one = False
        indent = min(indent, depth)
