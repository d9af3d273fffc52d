"""docs/api.md is what the protos say."""

from __future__ import annotations

import re

import pytest

from building import api_page


@pytest.fixture(scope="module")
def page() -> str:
    return api_page.page()


def test_the_page_is_the_one_that_the_protos_make(page: str) -> None:
    assert page == api_page.PAGE.read_text(), "run: make api-docs"


def test_every_link_leads_somewhere_on_the_page(page: str) -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    places = headings | set(re.findall(r'<a id="([a-z_]+)">', page))
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) - places == set()


def test_no_two_places_have_one_name(page: str) -> None:
    headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)]
    places = headings + re.findall(r'<a id="([a-z_]+)">', page)
    assert sorted({place for place in places if places.count(place) > 1}) == []


def test_every_method_message_enum_reason_and_limit_is_on_the_page(page: str) -> None:
    contract = api_page.read_contract()
    for name in [method.name for method in contract.methods] + [*contract.messages] + [*contract.enums]:
        assert f"\n{'#' * 3} {name}\n" in page or f"\n#### {name}\n" in page or name == api_page.REASONS, name
    assert len(contract.limits) > 50
    assert all(limit for _, limit in contract.limits)
    assert page.count('"></a>`') == len(contract.enums[api_page.REASONS].value) - 1


def test_scope_and_what_a_field_must_be_stand_beside_what_they_are_of(page: str) -> None:
    method = page.partition("\n### CreateRelease\n")[2].partition("\n### ")[0]
    assert "*scope `release:write` · one message each way · repeatable*" in method
    assert re.search(r"^\| `parent` \| text \| .*\*required\* \|$", method, re.MULTILINE)
    assert re.search(r"^\| `release` \| \[Release\]\(#release\) \| ", method, re.MULTILINE)
