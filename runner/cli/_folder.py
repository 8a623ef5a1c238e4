"""What a new folder holds. Configs and strategies are the project's own, packed beside this package."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from runner.config.fields import is_node_name

#: Template to the file of `configs/` that it is.
TEMPLATES = {
    "equity": "paper",
    "reversion": "mean_reversion",
    "brackets": "brackets",
    "crypto": "crypto",
    "options": "options",
    "nautilus": "nautilus_ema_cross",
    "accounts": "two_strategies",
}
_SCHEMA = "configs/runner.schema.json"
_PACKED = files("runner") / "templates"
_CLASS = re.compile(r"^\s+class: strategies\.(\w+):", re.MULTILINE)
_IMPORT = re.compile(r"^from strategies\.(\w+) import", re.MULTILINE)
_VARIABLE = re.compile(r"\{env: (\w+)\}")
_NODE = re.compile(r"^name: (?:paper-)?(.+)$", re.MULTILINE)

_GITIGNORE = """\
# Secrets
.env
secrets/
# What runs leave behind
logs/
state/
reports/
recordings/
*.sqlite*
__pycache__/
"""
_ENV = """\
# Copy to .env (chmod 600), fill in, and load it before a run: set -a; . ./.env; set +a
# Keys of a paper account begin with PK. None are needed for --sim.
"""
_README = """\
# {name}

A folder for `runner`: `configs/` says what is traded and within which limits, `strategies/` is your own code.

```sh
runner check configs/{file}.yaml --sim        # every mistake, with its line
runner test configs/{file}.yaml               # what the limits allow and deny (configs/{file}.tests.yaml)
runner configs/{file}.yaml --sim{start} --speed max   # a made-up day, simulated: no keys, no network
```

On a paper account:

```sh
cp .env.example .env && chmod 600 .env      # and fill it in
set -a; . ./.env; set +a
runner doctor configs/{file}.yaml             # keys, clock, data plan, disk: each with its remedy
runner configs/{file}.yaml
```

`runner strategies` lists what a file can name, with its parameters. A strategy of your own is a file in
`strategies/`, named in the config as `strategies.FILE:CLASS`. Nothing here is advice, and no example has an edge.
"""


@dataclass(frozen=True, slots=True)
class Wrote:
    """Names relative to the folder. `unsafe`: an existing .gitignore would let the secrets through."""

    new: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    unsafe: bool = False


def folder_files(template: str, folder_name: str) -> dict[str, str]:
    """Every file of a new folder by its name, in the order in which they are written."""
    stem = TEMPLATES[template]
    config = _packed("configs", f"{stem}.yaml")
    made = {f"configs/{stem}.yaml": _named(config, folder_name)}
    made[f"configs/{stem}.tests.yaml"] = _packed("configs", f"{stem}.tests.yaml")
    made[_SCHEMA] = _packed("configs", "runner.schema.json")
    made["strategies/__init__.py"] = '"""Strategies of your own: a file names one as `strategies.FILE:CLASS`."""\n'
    wanted = _CLASS.findall(config) or ["ema_cross"]
    while wanted:
        module = wanted.pop()
        name = f"strategies/{module}.py"
        if name not in made:
            made[name] = _packed("strategies", f"{module}.py")
            wanted += _IMPORT.findall(made[name])
    variables = dict.fromkeys(_VARIABLE.findall(config))
    made[".env.example"] = _ENV + "".join(f"{variable}=\n" for variable in variables)
    made[".gitignore"] = _GITIGNORE
    start = " --start 09:30" if "market: options" in config else ""
    made["README.md"] = _README.format(name=folder_name or "trading", file=stem, start=start)
    return made


def write_files(folder: Path, made: Mapping[str, str]) -> Wrote:
    """Write what is not there yet. Raises OSError; of a file that could not be written whole nothing is left."""
    wrote = Wrote()
    for name, text in made.items():
        path = folder / name
        if os.path.lexists(path):
            wrote.kept.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError as error:
                path.unlink(missing_ok=True)
                error.filename = str(path)
                raise
        wrote.new.append(name)
    ignored = folder / ".gitignore"
    unsafe = ".gitignore" in wrote.kept and ignored.is_file() and not _ignores_env(ignored)
    return Wrote(wrote.new, wrote.kept, unsafe)


def _ignores_env(path: Path) -> bool:
    lines = {line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}
    return bool(lines & {".env", "/.env", ".env*", "*.env"})


def _packed(folder: str, name: str) -> str:
    return (_PACKED / folder / name).read_text(encoding="utf-8")


def _named(config: str, folder_name: str) -> str:
    """The config with a node name of this folder: two folders of one template must not share a journal."""
    found = _NODE.search(config)
    assert found is not None
    name = f"{folder_name}-{found[1]}"
    return config if not is_node_name(name) else f"{config[: found.start()]}name: {name}{config[found.end() :]}"
