"""How versions are ordered (behaviour.md, Versions)."""

from itertools import combinations, pairwise

import pytest

from store.releases.version import FIRST_SEMVER_KEY, MAX_NUMBER, NO_SEMVER_KEY, parse_version

RISING = {
    "the chain of the SemVer 2 specification": [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ],
    "numbers as numbers, not as text": ["0.9", "0.10", "1.0", "1.0.1", "1.0.2", "1.0.10", "1.1", "2.0", "10.0", "11.0"],
    "the fourth number": ["1.2.3", "1.2.3.1", "1.2.3.2", "1.2.3.10", "1.2.4"],
    "numbers where a byte of them fills": ["0.255", "0.256", "0.65535", "0.65536", "0.4294967295", "0.4294967296"],
    "the largest numbers": [f"{MAX_NUMBER - 1}.0", f"{MAX_NUMBER}.0-a", f"{MAX_NUMBER}.0", f"{MAX_NUMBER}.0.0.1"],
    "an earlier number outweighs all later ones": [f"1.{MAX_NUMBER}.{MAX_NUMBER}.{MAX_NUMBER}", "2.0-0", "2.0"],
    "final above its prereleases, below the next prerelease": ["1.0-rc.9", "1.0", "1.0.0.1-a", "1.0.0.1", "1.0.1-0"],
    "numeric identifiers as numbers": ["1.0-0", "1.0-1", "1.0-2", "1.0-9", "1.0-10", "1.0-99", "1.0-100"],
    "numeric identifiers longer than any integer column": [
        f"1.0-{2**63 - 1}",
        f"1.0-{2**63}",
        f"1.0-{2**64}",
        f"1.0-{'9' * 150}",
        f"1.0-1{'0' * 150}",
        f"1.0-1{'0' * 149}1",
        f"1.0-{'9' * 190}",
    ],
    "numeric identifiers below textual ones": ["1.0-9", f"1.0-{'9' * 100}", "1.0--", "1.0-0a", "1.0-A", "1.0-a"],
    "text by code point: hyphen, digits, capitals, small letters": ["1.0-a-", "1.0-a0", "1.0-aA", "1.0-aZ", "1.0-aa"],
    "a text below every text that it begins": ["1.0-a", "1.0-a.0", "1.0-a.a", "1.0-a-", "1.0-a-.0", "1.0-a0", "1.0-aa"],
    "fewer identifiers below more": ["1.0-a", "1.0-a.0", "1.0-a.0.0", "1.0-a.0.0.a", "1.0-a.0.a", "1.0-a.1"],
    "a number inside an identifier is text": ["1.0-rc1", "1.0-rc10", "1.0-rc2"],
    "attached prereleases like the others": ["1.0a1", "1.0b1", "1.0rc1", "1.0"],
    "build numbers break ties, none the lowest": ["1.0-a", "1.0-a+0", "1.0-a+1", "1.0", "1.0+0", "1.0+9", "1.0+10"],
    "the largest build number": ["1.0", "1.0+255", "1.0+256", f"1.0+{MAX_NUMBER}", "1.0.1"],
    "any build number below one identifier more": [
        "1.0-a",
        f"1.0-a+{MAX_NUMBER}",
        "1.0-a.0",
        f"1.0-a.0+{MAX_NUMBER}",
        "1.0-a.0.0",
        "1.0-a.a",
        f"1.0-a.a+{MAX_NUMBER}",
        "1.0-a-",
    ],
    "everything semantic above everything else": ["zebra", "0.0-0"],
}

EQUAL = {
    "missing numbers are zeros": ["app@1", "app@1.0", "app@1.0.0", "app@1.0.0.0"],
    "leading zeros": ["1.2.3", "01.002.3", "1.2.03"],
    "the hyphen before a prerelease": ["1.0rc1", "1.0-rc1", "1.0.0-rc1"],
    "the letter v": ["1.2.3", "v1.2.3"],
    "packages": ["1.2.3", "app@1.2.3", "@other@1.2.3", "app@v1.2.3"],
    "build codes that are no number": ["1.0", "1.0+abc", "1.0+def", "1.0+1.2", "1.0+-1", f"1.0+{MAX_NUMBER + 1}"],
    "leading zeros of build numbers": ["1.0+7", "1.0+007"],
    "all that is not semantic": ["42", "zebra", "app@some_thing", "a86d127c4b2f", f"{MAX_NUMBER + 1}.0", "1.0-01"],
}


@pytest.mark.parametrize("texts", RISING.values(), ids=RISING.keys())
def test_the_order_respects(texts: list[str]) -> None:
    keys = [parse_version(text).sort_key for text in texts]
    for lower, higher in pairwise(range(len(texts))):
        assert keys[lower] < keys[higher], f"{texts[lower]} should sort below {texts[higher]}"


@pytest.mark.parametrize("texts", EQUAL.values(), ids=EQUAL.keys())
def test_these_do_not_count_in_the_order(texts: list[str]) -> None:
    for one, other in combinations(texts, 2):
        assert parse_version(one).sort_key == parse_version(other).sort_key, f"{one} and {other} should sort alike"


def test_two_ranges_of_keys_hold_all_semantic_versions_and_all_others() -> None:
    lowest, highest = parse_version("0.0-0"), parse_version(f"{MAX_NUMBER}.{MAX_NUMBER}.{MAX_NUMBER}.{MAX_NUMBER}")
    assert FIRST_SEMVER_KEY < lowest.sort_key < highest.sort_key
    assert parse_version("zebra").sort_key == NO_SEMVER_KEY < FIRST_SEMVER_KEY


def test_no_sort_key_is_longer_than_promised() -> None:
    # One-digit identifiers cost most: three bytes for every two characters.
    longest = "0.0-" + "0." * 95 + "0+1234"
    assert len(longest) == 200
    assert len(parse_version(longest).sort_key) <= 340
    assert len(parse_version("1-" + "9" * 198).sort_key) <= 340
