"""Whatever is sent as a query is answered, or refused with a place in it: no text ends in another error, or takes long.

`make drill-search` reads more of them (SEARCH_STRINGS, SEARCH_SEED), and tells which took the most time of its thread.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable

from store.errors import QueryInvalid
from store.search.language import Expression, Key, format_query, parse_query
from store.search.language.limits import MAX_QUERY_CHARS
from store.text import folded

STRINGS = int(os.environ.get("SEARCH_STRINGS", "5000"))
SEED = int(os.environ.get("SEARCH_SEED", "0"))

PIECES = (
    *(f"{key}:" for key in Key),
    *("label.team:", 'label."a b":', "deployed.production:", "has:", "has:ref", "foo:", "latest", "true", "open"),
    *("AND", "OR", "NOT", "and", "!", "!!", "(", ")", "[", "]", ",", ", ", '"', '\\"', "\\", "\\\\", "*", "**"),
    *("\\*", ":", " ", "=", "!=", ">", ">=", "<", "<=", "@", ".", "-", "+", "a", "1", "1.2", "app@1.2.3-rc.1+45"),
    *("1.2.*", "x", "-3d", "2026-11-23", "2026-11-23T10:15:30.5+02:00", "9" * 25, '"a b"', "ß", "ﷺ", "é", "e\u0301"),
    *("\u200b", "\u2028", "\xa0", "\x00", "\x1f", "\x85", "\ud800", "\U0001f600", "\t", "\n", "\r\n"),
)
NESTED = ("(", "!", "[", '"', "\\", "*", "a ", "ref:", "ref:[", "a OR ", "(a ", "!(", 'label."', "\\\\", "1.", "-", "٣")


def soup(chance: random.Random) -> str:
    """Pieces of queries in no order."""
    return "".join(chance.choices(PIECES, k=chance.randrange(40))) + chance.choice(("", " "))


def spaced_soup(chance: random.Random) -> str:
    return " ".join(chance.choices(PIECES, k=chance.randrange(30)))


def noise(chance: random.Random) -> str:
    """Any characters at all."""
    return "".join(map(chr, chance.choices(range(sys.maxunicode + 1), k=chance.randrange(100))))


def ascii_noise(chance: random.Random) -> str:
    return "".join(map(chr, chance.choices(range(128), k=chance.randrange(100))))


def repeated(chance: random.Random) -> str:
    """One piece again and again, up to the bound and beyond it: what parsers that go back and forth are slow at."""
    piece = chance.choice(chance.choice((NESTED, PIECES)))
    size = chance.choice((30, 300, MAX_QUERY_CHARS, MAX_QUERY_CHARS + 1))
    return chance.choice(("", "ref:", '"', "a ")) + (piece * size)[:size] + chance.choice(("", ")", '"', "]", ":"))


def closed(chance: random.Random) -> str:
    """Parentheses that match, or nearly."""
    depth = chance.randrange(30)
    return "(" * depth + soup(chance) + ")" * (depth + chance.choice((0, 0, 0, 1, -1)))


KINDS: tuple[Callable[[random.Random], str], ...] = (soup, spaced_soup, noise, ascii_noise, repeated, closed)


def outcome(text: str) -> Expression | QueryInvalid | None:
    try:
        return parse_query(text)
    except QueryInvalid as error:
        return error


def test_every_random_string_is_read_or_refused_with_a_place_in_it() -> None:
    read = refused = slowest = 0
    slowest_text = ""
    for number in range(STRINGS):
        text = KINDS[number % len(KINDS)](random.Random(SEED + number))
        begun = time.thread_time_ns()
        came = outcome(text)
        taken = time.thread_time_ns() - begun
        if taken > slowest:
            slowest, slowest_text = taken, text
        if isinstance(came, QueryInvalid):
            refused += 1
            assert 1 <= came.position <= len(text) + 1, text
            assert came.found, text
            assert came.expected, text
            assert len(came.message) < 1000, text
        else:
            read += 1
            written = format_query(came)
            again = outcome(written)
            # What is folded may be longer than it was, and so may what is written in full: too long, at the worst.
            too_long = len(written) > MAX_QUERY_CHARS or len(folded(text)) > len(text)
            assert again == came or (too_long and isinstance(again, QueryInvalid)), text
    print(f"{read} read, {refused} refused (seed {SEED}); slowest {slowest / 1e6:.1f} ms: {slowest_text[:80]!r}")
    # Strings that are all refused, or all read, would show little.
    assert min(read, refused) > STRINGS // 50
