"""Where the search language does what Sentry's does not (docs/search.md), each by an example."""

from __future__ import annotations

import pytest

from store.errors import QueryInvalid
from store.search.language import KEYS, Key, Kind, Naming, Not, parse_query
from tests.search.small_set import deploy, found, release, versions
from tests.search.strategies import DAY, NOW


def written(key: Key) -> str:
    return f"{key}.team" if KEYS[key].naming is Naming.ALWAYS else str(key)


VALUES = {
    Kind.FLAG: "true",
    Kind.STATUS: "open",
    Kind.STAGE: "adopted",
    Kind.TIME: "2026-11-20",
    Kind.VERSION: "1.2",
    Kind.COUNT: "4",
}


def test_free_text_is_sought_in_its_own_words_only_and_mixes_with_keys() -> None:
    assert versions("app release.version:>1.0", "app@1.0", "app@1.1", "web@1.1") == ["app@1.1"]
    assert versions("rc app", "app@1.0-rc1", "app@1.0", "web@1.0-rc1") == ["app@1.0-rc1"]


def test_terms_are_joined_by_or_and_by_and_which_binds_tighter() -> None:
    some = ("a-1", "a-2", "b-1", "b-2")
    assert versions("a 1 OR b 2", *some) == ["a-1", "b-2"]
    assert versions("a AND 1 OR b AND 2", *some) == ["a-1", "b-2"]
    assert versions("b OR a 1", *some) == ["a-1", "b-1", "b-2"]


def test_parentheses_group_terms() -> None:
    some = ("a-1", "a-2", "b-1", "b-2", "c-1")
    assert versions("(a OR b) 1", *some) == ["a-1", "b-1"]
    assert versions("!(a OR b)", *some) == ["c-1"]


@pytest.mark.parametrize("key", list(Key))
def test_every_key_takes_a_list(key: Key) -> None:
    value = VALUES.get(KEYS[key].kind, "abc")
    other = {"true": "false", "open": "archived", "adopted": "replaced", "2026-11-20": "2026-11-21"}.get(
        value, value + "9"
    )
    assert parse_query(f"{written(key)}:[{value}, {other}]") == parse_query(
        f"{written(key)}:=[ {value} ,{other},{value}]"
    )


@pytest.mark.parametrize("key", [key for key in Key if KEYS[key].kind in (Kind.TEXT, Kind.RELEASE, Kind.COMMIT)])
def test_every_text_key_takes_wildcards_anywhere(key: Key) -> None:
    for pattern in ("b*", "*b", "*b*", "a*b", "a*b*c", '"a b*"'):
        assert parse_query(f"{written(key)}:{pattern}") is not None


@pytest.mark.parametrize("key", list(Key))
def test_every_key_is_negated(key: Key) -> None:
    value = VALUES.get(KEYS[key].kind, "abc*")
    for negated in (f"!{written(key)}:{value}", f"{written(key)}:!={value}", f"!{written(key)}:[{value}]"):
        assert isinstance(parse_query(negated), Not)


@pytest.mark.parametrize("key", list(Key))
def test_every_key_is_asked_for_with_has(key: Key) -> None:
    assert parse_query(f"!has:{written(key)}") == Not(parse_query(f"has:{written(key)}"))  # type: ignore[arg-type]


def test_a_wildcard_in_the_middle_matches() -> None:
    assert versions("release:app@*-rc", "app@1.0-rc", "app@1.0", "web@1.0-rc", "app@-rc") == ["app@1.0-rc", "app@-rc"]


def test_a_release_with_a_wildcard_is_negated_too() -> None:
    assert versions("!release:app*", "app@1.0", "web@1.0") == ["web@1.0"]


def test_finalized_is_negated_too_and_takes_nothing_but_true_and_false() -> None:
    some = (release("1.0", released=NOW), release("2.0"))
    assert found("!finalized:true", *some) == ["2.0"]
    assert found("!finalized:false", *some) == ["1.0"]
    with pytest.raises(QueryInvalid) as refused:
        parse_query("finalized:yes")
    assert refused.value.expected == "true or false"


def test_a_time_of_creation_is_negated_too() -> None:
    some = (release("1.0", created=NOW - DAY), release("2.0", created=NOW - 5 * DAY))
    assert found("!release.created:-3d", *some) == ["2.0"]


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("value", ["1.2.*", "1.X", "app@1.*", "*", "ap*@1.2"])
def test_a_version_with_a_wildcard_is_neither_above_nor_below(operator: str, value: str) -> None:
    with pytest.raises(QueryInvalid) as refused:
        parse_query(f"release.version:{operator}{value}")
    assert refused.value.position == len(f"release.version:{operator}") + 1
    assert "without wildcards" in refused.value.expected


def test_a_negated_version_of_a_package_leaves_its_other_versions_and_that_version_of_others() -> None:
    some = ("p@1.0", "p@2.0", "q@1.0", "spring release")
    assert versions("!release.version:p@1.0", *some) == ["p@2.0", "q@1.0", "spring release"]


def test_several_versions_are_asked_for_in_a_list() -> None:
    some = ("p@1.0", "p@2.0", "q@1.0", "p@1.5", "4.0")
    assert versions("release.version:[p@1.0, 2.0, 1.5.*]", *some) == ["p@1.0", "p@2.0", "p@1.5"]


def test_versions_without_package_and_with_a_v_are_semantic() -> None:
    some = ("1.2.3", "v1.2.3", "app@v1.2.3", "app@1.2.3", "42", "app@42")
    assert versions("release.version:1.2.3", *some) == list(some[:4])
    assert versions("has:release.version", *some) == [*some[:4], "app@42"]
    assert versions('release.package:""', *some) == ["1.2.3", "v1.2.3"]


def test_prereleases_are_compared_as_semver_does() -> None:
    some = ("1.0-rc.2", "1.0-rc.10", "1.0", "1.0+5")
    assert versions("release.version:>1.0-rc.2", *some) == ["1.0-rc.10", "1.0", "1.0+5"]
    assert versions("release.version:1.0", *some) == ["1.0", "1.0+5"]


def test_a_text_of_a_build_has_no_order() -> None:
    some = ("1.0+45", "1.0+nightly", "1.0")
    assert versions("release.build:>=45", *some) == ["1.0+45"]
    assert versions("!release.build:45", *some) == ["1.0+nightly", "1.0"]
    assert versions("release.build:[45, night*]", *some) == ["1.0+45", "1.0+nightly"]
    with pytest.raises(QueryInvalid):
        parse_query("release.build:>nightly")


def test_latest_skips_archived_releases() -> None:
    some = (release("1.0"), release("1.1"), release("2.0", status="archived"))
    assert found("release:latest", *some) == ["1.1"]


def test_latest_honours_the_environment() -> None:
    some = (release("1.0", deploys=[deploy("production", 3)]), release("1.1"))
    assert found("release:latest", *some) == ["1.1"]
    assert found("release:latest", *some, environments=frozenset({"production"})) == ["1.0"]
    assert found("release:latest", *some, environments=frozenset({"staging"})) == []


def test_latest_is_the_newest_of_each_selected_project() -> None:
    some = (
        release("web@1.0", projects=["web"]),
        release("web@1.1", projects=["web"]),
        release("spring", projects=["api"], created=NOW - 5 * DAY),
        release("autumn", projects=["api"], created=NOW - 6 * DAY, released=NOW - DAY),
    )
    assert found("release:latest", *some) == ["web@1.1", "autumn"]
    assert found("release:latest", *some, projects=frozenset({"api"})) == ["autumn"]
    assert found("release:latest") == []


def test_latest_is_negated_and_stands_in_lists() -> None:
    some = ("1.0", "1.1", "2.0")
    assert versions("!release:latest", *some) == ["1.0", "1.1"]
    assert versions("release:[latest, 1.0]", *some) == ["1.0", "2.0"]


def test_a_version_as_it_is_shown_is_found_by_free_text() -> None:
    assert versions('"1.0 (45)"', "app@1.0+45", "app@1.0", "the 1.0 (45)") == ["app@1.0+45", "the 1.0 (45)"]


def test_case_does_not_count_by_the_rules_of_unicode() -> None:
    assert versions("STRASSE", "Straße 5", "Strand") == ["Straße 5"]
    assert found("owner:ÜNAL", release("1.0", owner="ünal"), release("2.0", owner="unal")) == ["1.0"]
    # A ligature and its letters, a full-width letter and the usual one.
    assert versions("ﬁx", "FIX-1", "ｆｉｘ", "f-ix") == ["FIX-1", "ｆｉｘ"]
