"""A secret's place, as the file names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from runner.config.fields import wrong
from runner.config.secrets import MASK, looks_like_secret
from runner.config.section import Section


class SecretRef(Section):
    """Where a secret is found: `{env: NAME}` or `{file: PATH}`. The secret itself is never in the file."""

    env: str | None = Field(None, description="The environment variable that holds the secret.")
    file: Path | None = Field(None, description="A file that holds nothing else; relative to the folder of the config.")
    _value: SecretStr | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _reference(cls, value: Any) -> Any:
        if isinstance(value, dict | SecretRef):
            return value
        raise wrong("a secret must not stand in the file, write {env: NAME} or {file: PATH}", secret=True)

    @field_validator("env")
    @classmethod
    def _variable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise wrong("not the name of an environment variable (the text is not shown, as it may be the secret)")
        # Someone who pastes the key itself must not find it in an error or a log.
        if looks_like_secret(value):
            raise wrong("this looks like the secret itself, write the name of the variable that holds it")
        return value

    @model_validator(mode="after")
    def _one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise wrong("a secret has one place, write either {env: NAME} or {file: PATH}")
        return self

    @property
    def value(self) -> SecretStr:
        """The secret. Raises LookupError before `load` read it (or where it was told not to)."""
        if self._value is None:
            raise LookupError(f"the secret {self.place} was not loaded")
        return self._value

    @property
    def loaded(self) -> bool:
        return self._value is not None

    @property
    def place(self) -> str:
        return f"environment variable {self.env}" if self.env is not None else f"file {self.file}"

    def set_value(self, value: SecretStr) -> None:
        """For `load`, and for tests that have no environment."""
        self._value = value

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        shown: list[tuple[str | None, Any]] = [("env", self.env)] if self.env is not None else [("file", self.file)]
        return [*shown, ("value", MASK)] if self.loaded else shown
