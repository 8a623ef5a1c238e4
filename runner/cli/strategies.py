"""`runner strategies [PATH…]`: what a file can name, and with which parameters."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runner.config.classes import STRATEGY, ClassProblem, classes_in, extend_path, import_named, search_folders
from runner.config.describe import Described, describe_class, snippet
from runner.config.discover import NAUTILUS_EXAMPLES, Candidate, at, in_folders, in_package, installed

_FAILED = 1
_WIDTH = 100


def strategies(
    *paths: str,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """List the strategies, actors and execution algorithms that a file can name; of one class, texts and YAML to paste.

    Without a path: those of the current folder, its packages (`strategies/`), installed packages that need Nautilus,
    and Nautilus's own examples. What can't be imported is shown with its error. Exit codes: 0 fine, 1 nothing found, or
    what was named can't be used.

    Parameters
    ----------
    paths
        A file, a folder, a package, or a class as a file names it: strategies.ema_cross:EMACross.
    json_
        Print one JSON object on stdout.
    """
    # What a strategy's module prints while it is imported is none of this command's output.
    with contextlib.redirect_stdout(io.StringIO()):
        found, errors = _collect(paths)
    if json_:
        told = [each.as_dict() for each in found]
        print(json.dumps({"strategies": told, "errors": errors}, indent=2, ensure_ascii=False))
    elif len(found) == 1 and not errors and paths:
        _tell_one(found[0])
    else:
        _tell(found, errors)
    return 0 if found and not (errors and paths) else _FAILED


def _collect(paths: tuple[str, ...]) -> tuple[list[Described], list[dict[str, str]]]:
    folders = search_folders([], [])
    extend_path(folders)
    found: dict[str, Described] = {}
    errors: dict[str, str] = {}

    def keep(name: str, cls: type) -> None:
        try:
            made = describe_class(cls)
        except ClassProblem as problem:
            errors[name] = problem.message
        else:
            found.setdefault(made.path, made)

    for each in paths:
        if ":" in each:
            try:
                keep(each, import_named(each, folders))
            except ClassProblem as problem:
                errors[each] = problem.message
            continue
        for one in _named(each, folders, errors):
            _classes(one, folders, errors, keep)
    for one in () if paths else (*in_folders(folders), *installed()):
        _classes(one, folders, errors, keep)
    return list(found.values()), [{"module": name, "error": text} for name, text in errors.items()]


def _named(text: str, folders: list[Path], errors: dict[str, str]) -> list[Candidate]:
    path = Path(text)
    if path.exists():
        root, candidates = at(path)
        extend_path([root])
        folders.append(root)
    else:
        candidates = in_package(text) if all(part.isidentifier() for part in text.split(".")) else []
    if not candidates:
        errors[text] = (
            "nothing that a file can name is there: name a file, a folder, an installed package, or module:Class"
        )
    return candidates


def _classes(one: Candidate, folders: list[Path], errors: dict[str, str], keep: Any) -> None:
    if one.problem is not None:
        errors[one.name] = one.problem
        return
    try:
        for cls in classes_in(one.name, folders):
            keep(f"{one.name}:{cls.__name__}", cls)
    except ClassProblem as problem:
        errors[one.name] = problem.message


def _tell(found: Iterable[Described], errors: Iterable[dict[str, str]]) -> None:
    shown = False
    for each in found:
        if not shown and each.path.startswith(NAUTILUS_EXAMPLES):
            print("# Nautilus's examples")
            shown = True
        print(each.path if each.kind is STRATEGY else f"{each.path}  ({each.kind.word})")
        if each.doc:
            _print(each.doc, 4)
        _print(" ".join(p.name if p.required else f"[{p.name}={p.default}]" for p in each.own), 4)
    for error in errors:
        print(f"{error['module']}: {error['error']}", file=sys.stderr)


def _tell_one(one: Described) -> None:
    print(one.path if one.kind is STRATEGY else f"{one.path}  ({one.kind.word})")
    _print(one.doc, 2)
    print(f"  {one.source}\n")
    width = max((len(each.name) for each in one.own), default=0)
    for each in one.own:
        kind = f"one of {', '.join(each.choices)}" if each.choices else each.type
        _print(
            f"{each.name:<{width}}  {kind}, {'required' if each.required else f'default {each.default}'}", 2, width + 2
        )
        _print(each.doc, width + 4)
    _print(f"and those of every Nautilus {one.kind.word}: {', '.join(p.name for p in one.params if p.inherited)}", 2)
    print(f"\n{one.kind.section}:\n{snippet(one)}", end="")


def _print(text: str, indent: int, hang: int = 0) -> None:
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_long_words=False,
        break_on_hyphens=False,
    )
    print("".join(f"{line}\n" for line in lines), end="")
