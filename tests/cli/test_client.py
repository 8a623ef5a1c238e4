"""How a command finds its node, and what it says where it does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.cli._client import EXIT_NO_NODE, EXIT_USAGE, TOKEN, ClientError, Reach, ask
from runner.cli.command import Scope, halt
from runner.node.remote.place import Place, listen, running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "runner"


@pytest.fixture
def two(folder: Path) -> Iterator[list[Place]]:
    """A real node and a trial of the same name."""
    places = [Place("test", "paper", 1, folder), Place("test", "sim", 2, folder)]
    sockets = [listen(place) for place in places]
    yield places
    for each in sockets:
        each.close()


def refused(target: str | None = None, where: Path | None = None, url: str | None = None) -> tuple[int, str]:
    with pytest.raises(ClientError) as error:
        ask(target, Reach(socket=where, url=url), "/v1/status")
    return error.value.code, str(error.value)


def test_where_none_runs_it_says_so(folder: Path) -> None:
    assert refused() == (EXIT_NO_NODE, "no node of yours runs")
    assert refused("test") == (EXIT_NO_NODE, "no node `test` of yours runs")
    assert refused(where=folder / "x.sock") == (EXIT_NO_NODE, f"there is no socket {folder / 'x.sock'}")


def test_where_several_run_it_asks_which(two: list[Place]) -> None:
    assert running("test") == two
    code, message = refused("test")
    assert code == EXIT_USAGE
    for place in two:
        assert f"test ({place.environment}): --socket {place.path}" in message
    assert refused("other") == (EXIT_NO_NODE, "no node `other` of yours runs, these do: test")


def test_a_file_is_known_by_its_name_even_where_the_rest_is_wrong(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("name: mine\nfeeds: nonsense\n")
    assert refused(str(file)) == (EXIT_NO_NODE, "no node `mine` of yours runs")
    file.write_text("name: [")
    assert refused(str(file))[0] == EXIT_USAGE
    assert "can't be read" in refused(str(tmp_path / "none.yaml"))[1]


def test_a_url_needs_the_token_and_stands_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert TOKEN in refused(url="http://127.0.0.1:1")[1]
    monkeypatch.setenv(TOKEN, "t" * 16)
    assert refused(url="http://127.0.0.1:1")[0] == EXIT_NO_NODE
    assert refused("test", url="http://127.0.0.1:1")[0] == EXIT_USAGE


def test_a_token_that_no_header_takes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "not ascii ü")
    assert refused(url="http://127.0.0.1:1")[0] == EXIT_USAGE


def test_what_is_no_runner_is_told_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "t" * 16)
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy")

        thread = threading.Thread(target=answer)
        thread.start()
        code, message = refused(url=f"http://127.0.0.1:{other.getsockname()[1]}")
        thread.join()
    assert code == EXIT_NO_NODE
    assert "answers 503, but not as a runner does" in message


def test_both_scopes_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert halt("test", scope=Scope(account="a", strategy="b")) == EXIT_USAGE
    assert "not both" in capsys.readouterr().err
