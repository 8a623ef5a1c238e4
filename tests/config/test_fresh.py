"""A user's modules are imported anew when their source has changed, and only then."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.config.fresh import Reimport, Sources, is_users


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    package = tmp_path / "freshpkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("VALUE = 1\nclass Base:\n    value = VALUE\n")
    (package / "top.py").write_text("from .base import Base\nclass Top(Base): ...\n")
    (package / "other.py").write_text("import json\n")
    sys.path.append(str(tmp_path))
    for name in ("top", "other"):
        importlib.import_module(f"freshpkg.{name}")
    yield package
    sys.path.remove(str(tmp_path))
    for name in [each for each in sys.modules if each.startswith("freshpkg")]:
        del sys.modules[name]


def noted() -> Sources:
    sources = Sources()
    sources.take(sources.look())
    return sources


def test_nothing_is_stale_while_nothing_has_changed(folder: Path) -> None:
    assert noted().stale() == frozenset()


def test_what_imports_a_changed_module_is_imported_anew_with_it(folder: Path) -> None:
    sources, old = noted(), sys.modules["freshpkg.top"]
    other = sys.modules["freshpkg.other"]
    # The same size within the same second: a cached compilation would be taken for right.
    (folder / "base.py").write_text("VALUE = 2\nclass Base:\n    value = VALUE\n")
    assert sources.stale() == {"freshpkg.base", "freshpkg.top"}
    with Reimport(sources.stale()) as reimport:
        new = importlib.import_module("freshpkg.top")
        reimport.keep()
        sources.take(sources.look())
    assert (old.Top.value, new.Top.value) == (1, 2)
    assert sys.modules["freshpkg.top"] is new
    assert sys.modules["freshpkg.other"] is other
    assert sources.stale() == frozenset()


def test_without_keep_all_is_as_before(folder: Path) -> None:
    sources, old = noted(), sys.modules["freshpkg.top"]
    (folder / "base.py").write_text("VALUE = 2\nclass Base:\n    value = VALUE\n")
    (folder / "new.py").write_text("A = 1\n")
    with Reimport(sources.stale()):
        assert importlib.import_module("freshpkg.top") is not old
        importlib.import_module("freshpkg.new")
    assert sys.modules["freshpkg.top"] is old
    assert sys.modules["freshpkg"].top is old
    assert "freshpkg.new" not in sys.modules, "by the next time it may be another one"
    assert sources.stale() == {"freshpkg.base", "freshpkg.top"}, "and it still waits to be taken over"


def test_a_module_that_can_t_be_imported_leaves_the_old_one(folder: Path) -> None:
    sources, old = noted(), sys.modules["freshpkg.base"]
    (folder / "base.py").write_text("VALUE = \n")
    with pytest.raises(SyntaxError), Reimport(sources.stale()):
        importlib.import_module("freshpkg.top")
    assert sys.modules["freshpkg.base"] is old


def test_a_package_takes_what_is_in_it_along(folder: Path) -> None:
    sources = noted()
    (folder / "__init__.py").write_text("A = 1\n")
    assert sources.stale() == {"freshpkg", "freshpkg.base", "freshpkg.top", "freshpkg.other"}


def test_a_file_that_is_gone_changes_nothing(folder: Path) -> None:
    sources = noted()
    (folder / "base.py").unlink()
    assert sources.stale() == frozenset()


def test_nothing_installed_is_a_users(folder: Path) -> None:
    assert is_users(str(folder / "base.py"))
    for module in ("json", "pydantic", "nautilus_trader", "runner.config.fresh"):
        assert not is_users(str(importlib.import_module(module).__file__))
