"""What a running node tells Prometheus: declarations, registry, collectors, and the endpoint."""

from __future__ import annotations
