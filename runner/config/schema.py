"""Checks a tree against the models, in sentences of ours; and writes the JSON Schema for editors."""

from __future__ import annotations

import json
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from runner.config.document import MapNode, Step, entry_at, plain
from runner.config.errors import ConfigError, instead
from runner.config.fields import duration_text
from runner.config.introspect import annotation_at, known_keys, model_at
from runner.config.models import AccountConfig, RunnerConfig, StrategyConfig
from runner.config.source import Source, under_secret

_layers: ContextVar[tuple[MapNode, ...]] = ContextVar("layers")


class _TreeSource(PydanticBaseSettingsSource):
    """One layer of a file's values for pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], tree: MapNode) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        entry = self._tree.entries.get(field_name)
        return (None if entry is None else plain(entry.value)), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = plain(self._tree)
        assert isinstance(values, dict)
        return values


class RunnerSettings(RunnerConfig, BaseSettings):  # type: ignore[misc]  # SettingsConfigDict extends ConfigDict
    """`RunnerConfig` filled from layers, the first winning: overrides from the environment, then the files."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return tuple(_TreeSource(settings_cls, tree) for tree in _layers.get())


def validate(source: Source, layers: tuple[MapNode, ...]) -> tuple[RunnerConfig | None, list[ConfigError]]:
    """The config that `layers` make (the first wins), or every mistake at its place in `source`."""
    token = _layers.set(layers)
    try:
        return RunnerSettings(), []
    except ValidationError as invalid:
        # The exception holds the values, secrets among them: it must not become a cause.
        details = invalid.errors(include_url=False)
    finally:
        _layers.reset(token)
    return None, [_translate(source, detail) for detail in details]


def _translate(source: Source, detail: ErrorDetails) -> ConfigError:
    path: tuple[Step, ...] = detail["loc"]
    kind = detail["type"]
    context = detail.get("ctx", {})
    if path and path[-1] == "[key]":
        path = path[:-1]
        return source.error("schema", source.key_mark(path), path, context["text"])
    if kind == "missing":
        return source.error("schema", source.key_mark(path[:-1]), path, _missing(path))
    if kind == "extra_forbidden":
        return source.error("schema", source.key_mark(path), path, _unknown(path))
    return source.error("schema", source.value_mark(path), path, _sentence(source, path, kind, context))


def _unknown(path: tuple[Step, ...]) -> str:
    key = str(path[-1])
    model = model_at(path[:-1])
    if under_secret(path[:-1]):
        return "unknown key, a secret is written {env: NAME} or {file: PATH}"
    if model in _LIMITED:
        home = _LIMITED[model]
        if key in {"risk", "limits"}:
            return f"unknown key, limits stand under `{home}:` here"
        if key in known_keys(("risk",)):
            return f"unknown key, limits stand under `{home}:`, write it there"
    return f"unknown key, {instead(key, known_keys(path[:-1]))}"


#: Where a section's limits stand.
_LIMITED: dict[type[BaseModel], str] = {RunnerConfig: "risk", AccountConfig: "limits", StrategyConfig: "limits"}


def _missing(path: tuple[Step, ...]) -> str:
    field = annotation_at(path)
    choices = _choices(field)
    if choices:
        return f"missing, write one of {', '.join(choices)}"
    if under_secret(path):
        return "missing, write {env: NAME} or {file: PATH}"
    return f"missing, add `{path[-1]}:`"


def _choices(annotation: Any) -> list[str]:
    values = getattr(annotation, "__args__", ()) if getattr(annotation, "__origin__", None) is not None else ()
    return [value for value in values if isinstance(value, str)]


def _sentence(source: Source, path: tuple[Step, ...], kind: str, context: dict[str, Any]) -> str:
    entry = entry_at(source.root, path)
    value = None if entry is None else plain(entry.value)
    shown = "this" if under_secret(path) or not isinstance(value, str) else f"`{value}`"
    if kind == "runner":
        return str(context["text"])
    if kind == "literal_error":
        choices = _choices(annotation_at(path))
        return f"{shown} is not possible, {instead(str(value), choices, 'possible')}"
    if kind in {"int_parsing", "int_type", "int_from_float"}:
        return f"{shown} is not a whole number"
    if kind in {"decimal_parsing", "decimal_type", "finite_number", "is_instance_of"}:
        return f"{shown} is not a number, write digits, such as 1_000 or 0.5"
    if kind in {"greater_than", "greater_than_equal"}:
        least = context.get("gt", context.get("ge"))
        return f"{shown} is too small, write more than {least}" if "gt" in context else f"write at least {least}"
    if kind in {"model_type", "model_attributes_type", "dict_type", "mapping_type"}:
        known = known_keys(path)
        return f"not a mapping, write keys under it{': ' + ', '.join(known) if known else ''}"
    if kind == "list_type":
        return "not a list, write [a, b]"
    if kind in {"string_type", "path_type"}:
        return "not a text, write one value"
    if kind in {"too_short", "dict_too_short"}:
        return "empty, name at least one"
    return str(context.get("text") or f"{shown} is not valid here ({kind.replace('_', ' ')})")


class _FileSchema(GenerateJsonSchema):
    """Defaults as a file has them."""

    def encode_default(self, dft: Any) -> Any:
        return duration_text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """For editors: what a file may hold, without the strategies' own parameters."""
    schema = RunnerConfig.model_json_schema(by_alias=True, schema_generator=_FileSchema)
    secret = schema["$defs"]["SecretRef"]
    secret["oneOf"] = [{"required": ["env"]}, {"required": ["file"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of runner",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def json_schema_text() -> str:
    """The schema as it stands in `configs/runner.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
