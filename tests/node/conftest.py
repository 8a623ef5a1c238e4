"""Fixtures of the node's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.node.fake_venue import Behaviour, Stubborn


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
async def stubborn() -> AsyncIterator[Stubborn]:
    it = Stubborn()
    yield it
    it.released.set()
