"""The resolved config as text: merged, overridden, defaults filled in, secrets masked. It reads back as the same."""

from __future__ import annotations

from typing import Any

import yaml

from runner.config.classes import KINDS
from runner.config.models import RunnerConfig, SecretRef
from runner.config.secrets import MASK, redact
from runner.config.source import is_secret_key


def resolved(config: RunnerConfig) -> dict[str, Any]:
    """Plain values. A secret is its reference; a parameter that is named like one is masked."""
    values = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    for each in (each for kind in KINDS for each in values[kind.section].values()):
        each["params"] = _masked(each["params"])
    return values


def resolved_yaml(config: RunnerConfig) -> str:
    """YAML with a comment where a secret was found or not."""
    text = yaml.dump(
        resolved(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=110
    )
    return redact(text) + "".join(f"# {line}\n" for line in _secrets(config))


def _secrets(config: RunnerConfig) -> list[str]:
    lines = []
    for section, holders in (("accounts", config.accounts), ("feeds", config.feeds)):
        for name, holder in holders.items():
            for key in ("key", "secret"):
                reference = getattr(holder, key)
                if isinstance(reference, SecretRef):
                    state = f"{MASK} (set)" if reference.loaded else "not set"
                    lines.append(f"{section}.{name}.{key}: {reference.place}: {state}")
    return lines


def _masked(value: Any, *, secret: bool = False) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, secret=secret or is_secret_key(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, secret=secret) for item in value]
    return MASK if secret and value is not None else value


class _Dumper(yaml.SafeDumper):
    """Texts that YAML would read as numbers stay unquoted: our reader takes every scalar as its text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    tag = dumper.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    if tag in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}:
        return dumper.represent_scalar(tag, value)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value)


_Dumper.add_representer(str, _text)
