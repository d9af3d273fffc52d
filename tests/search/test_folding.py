"""Text without case, as queries and the columns they are held against have it."""

from __future__ import annotations

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from store.text import folded


def test_every_character_folds_to_what_folds_no_further() -> None:
    characters = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    assert [each for each in characters if folded(folded(each)) != folded(each)] == []


@given(st.text())
def test_what_is_folded_folds_no_further(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text())
def test_case_and_form_do_not_count(text: str) -> None:
    assert folded(text) == folded(unicodedata.normalize("NFD", text))
    assert folded(text.casefold()) == folded(text)
