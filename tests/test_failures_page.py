"""The page on failures quotes the code word for word, and names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "when-something-fails.md").read_text(encoding="utf-8")
QUOTES = [line.removeprefix("> ") for line in PAGE.splitlines() if line.startswith("> ")]
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
SHORTEST = 4
GLUE = ("…", " ", ".", ").", ". ", ": ", "'")


def _strings():
    """Return the pieces of text in the code: whole ones, and those between two values."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return {text for text in found if len(text) >= SHORTEST} | set(GLUE)


@pytest.fixture(scope="module")
def pieces():
    return _strings()


def is_made_of(quote, pieces):
    """Tell whether pieces of text, put one after the other, give a quote."""
    reached = {0}
    for start in range(len(quote)):
        if start in reached:
            reached |= {start + len(p) for p in pieces if quote.startswith(p, start)}
    return len(quote) in reached


@pytest.mark.parametrize("quote", QUOTES)
def test_what_the_user_sees_is_in_the_code(quote, pieces):
    assert is_made_of(quote, pieces)
    words = quote.split(" ")
    assert not is_made_of(" ".join([*words[:2], "elephants", *words[2:]]), pieces)


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_each_is_made_to_happen(file, name):
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_page_was_read():
    assert len(QUOTES) >= 15
    assert len(TESTS) >= 25
