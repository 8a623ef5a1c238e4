"""Every broken file in `broken/` has its whole output written down; a change of any sentence shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from runner.config.errors import ConfigErrors
from runner.config.strategies import prepare

BROKEN = Path(__file__).parent / "broken"
ENVIRON = {"T_KEY": "TKxxxxxxxxxxxxxxxxxx", "T_SECRET": "a-secret-from-the-environment"}


@pytest.mark.parametrize("name", sorted(path.name for path in BROKEN.glob("*.yaml")))
def test_all_mistakes_are_told_at_once_with_their_places(
    name: str, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BROKEN)
    with pytest.raises(ConfigErrors) as caught:
        prepare([Path(name)], environ=ENVIRON, speed_is_one=True)
    told = caught.value.render().replace(str(BROKEN), "BROKEN")
    assert told == snapshot
    assert "hush" not in told.lower()
    assert "a-secret-from" not in told
    for error in caught.value.errors:
        assert error.line is not None or error.message in {"the file is empty"}
