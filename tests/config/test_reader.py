"""Positions and source text, for any tree."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.config.document import Node, Scalar, plain, walk
from runner.config.reader import MOST_NODES, parse

# YAML 1.1 ends a line at U+2028 and U+2029 too, which no editor counts: left out.
LETTERS = st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc", "Zl", "Zp"))
TEXTS = st.text(LETTERS, max_size=12)
KEYS = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)
TREES = st.recursive(
    TEXTS | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=5), st.sampled_from([True, False]), st.integers(2, 6))
def test_any_mapping_comes_back_as_it_was_written(tree: dict[str, object], flow: bool, indent: int) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, indent=indent, allow_unicode=True, sort_keys=False, width=40)
    parsed = parse("x.yaml", text)
    assert parsed.flaws == []
    assert parsed.root is not None
    assert plain(parsed.root) == tree


@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=5), st.sampled_from([True, False]))
def test_every_mark_points_at_the_text_that_it_is_the_mark_of(tree: dict[str, object], flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True, sort_keys=False, width=10_000)
    parsed = parse("x.yaml", text)
    assert parsed.root is not None
    lines = text.split("\n")
    for path, key_mark, node in walk(parsed.root):
        at_key = lines[key_mark.line - 1][key_mark.column - 1 :]
        if isinstance(path[-1], str):
            # YAML quotes keys such as `null` and `on`.
            assert at_key.lstrip("'\"? ").startswith(path[-1])
        if isinstance(node, Scalar) and node.text and not node.quoted:
            assert lines[node.mark.line - 1][node.mark.column - 1 :].startswith(node.text)
            assert node.mark.width == len(node.text)


def values(text: str) -> object:
    parsed = parse("x.yaml", text)
    assert parsed.flaws == []
    assert parsed.root is not None
    return plain(parsed.root)


def test_scalars_keep_their_source_text() -> None:
    text = "a: ON\nb: 10:30\nc: 180.0850\nd: 1_000\ne: 0x1F\nf: 2024-01-01\ng: no\nh: .5\ni: 1e3\n"
    assert values(text) == {
        "a": "ON",
        "b": "10:30",
        "c": "180.0850",
        "d": "1_000",
        "e": "0x1F",
        "f": "2024-01-01",
        "g": "no",
        "h": ".5",
        "i": "1e3",
    }


def test_null_is_told_from_its_name_in_quotes() -> None:
    assert values("a: null\nb: ~\nc:\nd: 'null'\ne: ''\n") == {"a": None, "b": None, "c": None, "d": "null", "e": ""}


def test_keys_are_texts_too() -> None:
    assert values("on: 1\n10: 2\nnull: 3\n") == {"on": "1", "10": "2", "null": "3"}


def test_an_alias_is_what_its_anchor_is_and_stands_there() -> None:
    parsed = parse("x.yaml", "a: &limits {state: halted}\nb: *limits\n")
    assert parsed.root is not None
    assert plain(parsed.root) == {"a": {"state": "halted"}, "b": {"state": "halted"}}
    marks = {path: node.mark for path, _, node in walk(parsed.root) if isinstance(node, Scalar)}
    assert marks[("b", "state")] == marks[("a", "state")]


def test_a_merge_key_gives_what_is_not_written_beside_it() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 9\n"
    assert values(text)["c"] == {"x": "9", "y": "2", "z": "4"}  # type: ignore[index]


def test_a_quoted_merge_key_is_a_key() -> None:
    assert values("a: {'<<': 1}") == {"a": {"<<": "1"}}


def test_aliases_that_expand_without_end_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    parsed = parse("x.yaml", "\n".join(lines))
    assert [flaw.message for flaw in parsed.flaws] == [f"more than {MOST_NODES} values with its aliases written out"]


def test_nesting_without_end_is_refused() -> None:
    assert parse("x.yaml", "a: " + "[" * 400 + "]" * 400).flaws
    assert parse("x.yaml", "a: " + "[" * 20_000).flaws


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: object) -> None:
    parsed = parse("x.yaml", "a: 1\r\nb: 2\r\n")
    assert parsed.root is not None
    assert plain(parsed.root) == {"a": "1", "b": "2"}


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    parsed = parse("x.yaml", text)
    assert parsed.root is not None or parsed.flaws
    node: Node | None = parsed.root
    if node is not None:
        plain(node)
