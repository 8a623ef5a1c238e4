"""How a command reaches a running node, and what it tells where it does not."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runner.node.remote.place import Place, address, running

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_NO_NODE = 69
TOKEN = "RUNNER_CONTROL_TOKEN"  # noqa: S105 (the name of a variable)
_LONGER_S = 10.0


Target = Annotated[str | None, Parameter(help="The node's name, or its file; needed where several run.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How the node is found where its name does not say it, and how it is answered."""

    socket: Annotated[Path | None, Parameter(help="The node's socket, instead of a name.")] = None
    url: Annotated[
        str | None,
        Parameter(help="The node's control.listen, as http://host:port; the token is read from RUNNER_CONTROL_TOKEN."),
    ] = None
    json: Annotated[bool, Parameter(negative=(), help="Print one JSON object on stdout.")] = False


class ClientError(Exception):
    """What is wrong, in words for the terminal, and the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class NoNodeError(ClientError):
    """None of that name runs: not that one is there and does not answer."""


def fail(error: ClientError) -> int:
    """Tell a person; returns the exit code."""
    print(error, file=sys.stderr)
    return error.code


def ask(
    target: str | None,
    reach: Reach,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    timeout_s: float = 0.0,
) -> dict[str, Any]:
    """The node's answer. Raises ClientError."""
    import httpx

    with _client(target, reach.socket, reach.url, timeout_s + _LONGER_S) as (client, who):
        try:
            reply = client.get(path) if body is None else client.post(path, json=body)
            answer = reply.json()
        except httpx.TimeoutException:
            message = f"{who} does not answer: its loop may be busy or stuck; SIGTERM ends it, a second one at once"
            raise ClientError(EXIT_NO_NODE, message) from None
        except httpx.HTTPError as error:
            message = f"{who} can't be reached: {str(error) or type(error).__name__}"
            raise ClientError(EXIT_NO_NODE, message) from None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ClientError(
                EXIT_NO_NODE,
                f"{who} answers {reply.status_code}, but not as a runner does: too busy, or something else",
            )
        if reply.status_code != httpx.codes.OK:
            raise ClientError(EXIT_REFUSED, f"{who} refuses: {answer.get('error', reply.status_code)}")
    return answer


@contextlib.contextmanager
def _client(target: str | None, socket: Path | None, url: str | None, timeout_s: float) -> Iterator[tuple[Any, str]]:
    import httpx

    from runner import http

    if sum(each is not None for each in (target, socket, url)) > 1:
        raise ClientError(EXIT_USAGE, "name a node, a --socket or a --url: one of them")
    if url is not None:
        token = os.environ.get(TOKEN, "")
        if not token:
            raise ClientError(EXIT_USAGE, f"--url needs the node's token in the environment variable {TOKEN}")
        # The environment's proxies are for the outside world, and must not see the token.
        headers = {"Authorization": f"Bearer {token}"}
        try:
            client = http.client(timeout_s, base_url=url, headers=headers, trust_env=False)
        except (httpx.InvalidURL, UnicodeEncodeError):
            raise ClientError(EXIT_USAGE, "--url is like http://127.0.0.1:9101, the token plain ASCII") from None
        with client:
            yield client, url
        return
    path = socket if socket is not None else _only(target).path
    if not path.exists():
        raise ClientError(EXIT_NO_NODE, f"there is no socket {path}")
    with (
        address(path.absolute()) as name,
        http.client(
            timeout_s, base_url="http://node", transport=httpx.HTTPTransport(uds=name), trust_env=False
        ) as client,
    ):
        yield client, f"the node at {path}" if target is None else f"node {_name(target)}"


def _only(target: str | None) -> Place:
    """The one node that is meant."""
    name = None if target is None else _name(target)
    found = running(name)
    if len(found) == 1:
        return found[0]
    if found:
        rows = "\n".join(f"  {each.name} ({each.environment}): --socket {each.path}" for each in found)
        raise ClientError(EXIT_USAGE, f"{len(found)} nodes run, say which:\n{rows}")
    others = ", ".join(sorted({each.name for each in running()}))
    what = "no node of yours runs" if name is None else f"no node `{name}` of yours runs"
    raise NoNodeError(EXIT_NO_NODE, what + (f", these do: {others}" if others and name else ""))


def is_file(target: str) -> bool:
    """Whether it means a file, not the name of a node."""
    path = Path(target)
    return path.suffix in (".yaml", ".yml") or path.is_file()


def _name(target: str) -> str:
    """A node's name; of a file the name in it, even where the rest of the file is wrong by now."""
    path = Path(target)
    if not is_file(target):
        return target
    import yaml

    text = ""
    try:
        text = path.read_text()
        content = yaml.safe_load(text)
        return str(content["name"])
    except OSError as error:
        raise ClientError(EXIT_USAGE, f"{path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        # What else is wrong with it the node, or `check`, will say.
        if (found := re.search(r"^name: *[\"']?([\w-]+)", text, re.MULTILINE)) is not None:
            return found[1]
        raise ClientError(EXIT_USAGE, f"{path} has no readable `name:`, give the node's name instead") from None
