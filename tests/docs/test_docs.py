"""The docs are true: generated pages are fresh, YAML passes `check`, links lead somewhere, the site builds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import strategies
from runner.cli.check import check

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
#: Files of other tools, and of `runner margin`, which has a file of its own.
FOREIGN = ("margin", "prometheus", "grafana", "compose")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _blocks(language: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{_name(page)}-{number}")
        for page in PAGES
        for number, (kind, info, text) in enumerate(BLOCK.findall(page.read_text()))
        if kind == language and not info.strip().startswith(FOREIGN)
    ]


def _reference() -> Any:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _reference()


@pytest.mark.parametrize("name", list(REFERENCE.PAGES))
def test_a_generated_page_is_fresh(name: str) -> None:
    written = (REFERENCE.FOLDER / name).read_text()
    assert written == REFERENCE.PAGES[name](), "run: .venv/bin/python tools/reference.py"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with the strategies that the docs write."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "configs").mkdir()
    (folder / "strategies").mkdir()
    for page in PAGES:
        for kind, info, text in BLOCK.findall(page.read_text()):
            if kind == "python" and (title := re.search(r'title="strategies/(\w+\.py)"', info)):
                (folder / "strategies" / title[1]).write_text(text)
    return folder


@pytest.mark.parametrize("text", _blocks("yaml"))
def test_yaml_passes_check(
    text: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole file as it stands; a part of one laid over configs/paper.yaml."""
    part, base = home / "configs" / "part.yaml", home / "configs" / "paper.yaml"
    part.write_text(text)
    base.write_text((ROOT / "configs" / "paper.yaml").read_text())
    whole = {"feeds", "accounts", "strategies", "name"} <= yaml.safe_load(text).keys()
    for name in ("ALPACA_API_KEY", "ALPACA_API_SECRET", *re.findall(r"env: (\w+)", text)):
        monkeypatch.setenv(name, "https://a-secret-of-the-docs.example")
    # As if they stood in the project's own folder.
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(home / "strategies")])
    monkeypatch.chdir(home)
    code = check(*([part] if whole else [base, part]))
    assert (code, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{link}: no such heading"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "reference" / "file" / "index.html").read_text()
    assert "max_order_notional" in page
    # Nothing is fetched from elsewhere when somebody reads it.
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://(?!squidfunk)', page)
