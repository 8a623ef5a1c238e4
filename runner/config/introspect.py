"""What the schema knows at a path: for suggestions and for overrides."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from runner.config.document import Step
from runner.config.models import RunnerConfig


def annotation_at(path: Sequence[Step]) -> Any:
    """The type of what stands at `path` of a file; None where the schema has nothing there."""
    here: Any = RunnerConfig
    for step in path:
        here = _bare(here)
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = fields_of(here).get(str(step))
            if field is None:
                return None
            here = field
        elif get_origin(here) in {dict, list}:
            here = get_args(here)[-1]
        else:
            return None
    return _bare(here)


def model_at(path: Sequence[Step]) -> type[BaseModel] | None:
    found = annotation_at(path)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def known_keys(path: Sequence[Step]) -> list[str]:
    """The keys that the mapping at `path` may have, as they are written in a file."""
    model = model_at(path)
    return [] if model is None else list(fields_of(model))


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in {Union, types.UnionType}:
        rest = [item for item in get_args(annotation) if item is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else annotation
    return annotation
