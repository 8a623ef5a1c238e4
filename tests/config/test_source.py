"""A secret written into a file is never shown, however broken the file is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.config.load import inspect

SECRET = "hush/HUSH+hush0123"
SHAPES = {
    "plain": "accounts:\n  main:\n    broker: alpaca\n    key: SECRET\n    secret: {env: A_B}\nname: x\n",
    "below": "accounts:\n  main:\n    broker: alpaca\n    secret:\n      SECRET\n    key: {env: A_B}\nname: x\n",
    "quoted": "accounts:\n  main: {broker: alpaca, key: 'SECRET', secret: \"SECRET\"}\nname: x\n",
    "flow": "accounts:\n  main: {key: {env: A_B}, secret: SECRET, broker: alpaca}\nname: x\n",
    "nested": "accounts:\n  main:\n    secret:\n      value: SECRET\n    api_key: SECRET\nname: x\n",
    "list": "accounts:\n  main:\n    secret:\n      - SECRET\n      - SECRET\nname: x\n",
    "block": "accounts:\n  main:\n    secret: |\n      SECRET\n    key: {env: SECRET}\nname: x\n",
    "key": "accounts:\n  main:\n    key: {SECRET, SECRET: 1}\n    secret: {file: f, SECRET: 2}\nname: x\n",
    "params": "strategies:\n  s:\n    class: x\n    params:\n      api_token: SECRET\nname: x\n",
}
BREAKERS = [
    ":",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "#",
    " #",
    "&",
    "*",
    "!",
    "|",
    ">",
    "\t",
    "\n",
    "\n  ",
    "- ",
    ",",
    "@",
    "%",
    "\x07",
    "  ",
    "?",
    "? ",
]


def told(folder: Path, text: str) -> str:
    path = folder / "f.yaml"
    path.write_text(text)
    found = inspect([path], environ={})
    return "\n".join(error.render() + repr(error) for error in found.errors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("source")


@pytest.mark.parametrize(
    "prefix", ["", "*", "&", "!", "!!", "@", "%", "- ", "? ", "a: ", "{", "[", "'", '"', "|", "\t"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_with_any_beginning_is_hidden(folder: Path, shape: str, prefix: str) -> None:
    output = told(folder, SHAPES[shape].replace("SECRET", prefix + SECRET))
    assert output
    assert SECRET not in output


@pytest.mark.parametrize("name", ["kye", "secert", "k_e_y", "apikey", "id", "pass", "Secret", "acces"])
def test_a_secret_under_a_misspelt_key_is_hidden(folder: Path, name: str) -> None:
    output = told(folder, SHAPES["plain"].replace("key:", f"{name}:"))
    assert f"accounts.main.{name}: unknown key" in output
    assert SECRET not in told(folder, SHAPES["plain"].replace("key:", f"{name}:").replace("SECRET", SECRET))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(SHAPES)), st.lists(st.tuples(st.floats(0, 1), st.sampled_from(BREAKERS)), max_size=1))
@example("plain", [])
def test_a_secret_in_a_file_broken_anywhere_is_hidden(
    folder: Path, shape: str, breaks: list[tuple[float, str]]
) -> None:
    text = SHAPES[shape]
    for where, breaker in breaks:
        at = round(where * len(text))
        # Broken around the secret's name and value, not within them: half a secret is another text.
        for word in ("SECRET", "secret", "key", "token", "env"):
            begin = text.rfind(word, 0, at + len(word) - 1)
            if begin >= 0 and begin < at < begin + len(word):
                at = begin
        text = text[:at] + breaker + text[at:]
    output = told(folder, text.replace("SECRET", SECRET))
    assert SECRET not in output, text
