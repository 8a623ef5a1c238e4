"""What is wrong with a file: where, what, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from runner.config.secrets import redact

Stage = Literal["parse", "schema", "references", "build"]
STAGES: tuple[Stage, ...] = ("parse", "schema", "references", "build")


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One mistake. `line` and `column` count from 1; they are None where the place is not in a file.

    `path` is the file, or the environment variable that overrides it. `where` is the dotted path of the key.
    `source` is the line of the file with secrets masked, `caret` and `width` what to point at in it.
    """

    stage: Stage
    path: str
    line: int | None
    column: int | None
    where: str
    message: str
    source: str | None = None
    caret: int = 1
    width: int = 1

    def render(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}:{self.column}"
        head = " ".join(part for part in (place, self.where) if part) + f": {self.message}"
        if self.source is None or self.line is None or self.column is None:
            return redact(head)
        gutter = f"{self.line:>5} | "
        pointer = " " * 5 + " | " + " " * (self.caret - 1) + "^" * self.width
        return redact(f"{head}\n{gutter}{self.source}\n{pointer}")

    def as_dict(self) -> dict[str, Any]:
        fields = asdict(self)
        del fields["caret"], fields["width"]
        return {key: redact(value) if isinstance(value, str) else value for key, value in fields.items()}


class ConfigErrors(Exception):
    """Every mistake that was found, in the order of the files."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors: tuple[ConfigError, ...] = tuple(errors)
        super().__init__(self.errors)

    def render(self) -> str:
        """For a person: each error with its line, and a count at the end."""
        count = "1 error" if len(self.errors) == 1 else f"{len(self.errors)} errors"
        return "\n".join([*(error.render() for error in self.errors), count])

    def as_dict(self) -> dict[str, Any]:
        return {"errors": [error.as_dict() for error in self.errors]}

    def __str__(self) -> str:
        return self.render()


def suggestion(wrong: str, known: Sequence[str]) -> str | None:
    """The known name that was probably meant."""
    folded = {name.casefold().replace("-", "_"): name for name in reversed(known)}
    close = difflib.get_close_matches(wrong.casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def instead(wrong: str, known: Sequence[str], what: str = "known") -> str:
    """The end of a sentence about a name that does not exist: what was meant, or what there is."""
    if (meant := suggestion(wrong, known)) is not None:
        return f"did you mean {meant}?"
    if not known:
        return f"there is nothing {what} here"
    return f"{what} here: {', '.join(known)}"
