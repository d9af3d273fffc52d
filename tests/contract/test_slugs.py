from __future__ import annotations

import pytest

from store.errors import InvalidField
from store.organizations.slugs import RESERVED, check_slug, slug_problem


@pytest.mark.parametrize(
    "slug", ["web", "abc", "a-b", "a_b", "_ab", "-ab", "ab-", "0x0", "1-2", "a" * 50, "123a", "api", "docs"]
)
def test_a_slug_of_3_to_50_allowed_characters_is_good(slug: str) -> None:
    assert slug_problem(slug) is None


@pytest.mark.parametrize("slug", ["", "a", "ab", "a" * 51])
def test_a_slug_that_is_too_short_or_too_long_is_refused(slug: str) -> None:
    assert slug_problem(slug) == "must have 3 to 50 characters"


@pytest.mark.parametrize("slug", ["Web", "a b", "a.b", "a/b", "äbc", "abc\n", "abc\0", "ａbc", "аbc", "abc%", "a٣٤"])
def test_a_slug_with_any_other_character_is_refused(slug: str) -> None:
    assert slug_problem(slug) == "may hold only lower-case letters a-z, digits, '_' and '-'"


@pytest.mark.parametrize("slug", ["123", "000", "9" * 50])
def test_a_slug_of_digits_only_is_refused(slug: str) -> None:
    assert "all digits" in (slug_problem(slug) or "")


@pytest.mark.parametrize("slug", sorted(RESERVED))
def test_a_reserved_word_is_no_slug(slug: str) -> None:
    assert "reserved" in (slug_problem(slug) or "")


def test_a_bad_slug_names_its_field() -> None:
    with pytest.raises(InvalidField) as raised:
        check_slug("No", field="project.slug")
    assert raised.value.reason == "INVALID_FIELD"
    assert [violation.field for violation in raised.value.violations] == ["project.slug"]
