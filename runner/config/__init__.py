"""The file: models, loading with positions, errors, schema. Importing this package imports no Nautilus."""

from __future__ import annotations
