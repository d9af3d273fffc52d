"""What holds for every version, checked on generated ones against a second, slower reading of the rules.

`Written` is a version in parts: what it says and how it sorts is known without parsing it. `scan` reads a text
character by character, without the expressions that the module under test is built on.
"""

import unicodedata
from dataclasses import dataclass
from itertools import permutations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from store.releases.version import MAX_NUMBER, InvalidVersion, Version, check_version, follows_semver, parse_version

DIGITS = "0123456789"
SMALL = "abcdefghijklmnopqrstuvwxyz"
WORD = DIGITS + SMALL + SMALL.upper() + "-"

Precedence = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...], int]


@dataclass(frozen=True)
class Written:
    package: str
    prefix: str
    numbers: tuple[int, ...]
    zeros: int
    hyphen: str
    identifiers: tuple[str, ...]
    build: str | None

    @property
    def text(self) -> str:
        at = f"{self.package}@" if self.package else ""
        numbers = ".".join("0" * self.zeros + str(number) for number in self.numbers)
        prerelease = self.hyphen + ".".join(self.identifiers) if self.identifiers else ""
        build = "" if self.build is None else f"+{self.build}"
        return f"{at}{self.prefix}{numbers}{prerelease}{build}"

    @property
    def precedence(self) -> Precedence:
        """Tuples that compare as SemVer 2 says (clause 11), then by build number."""
        four = (*self.numbers, 0, 0, 0)[:4]
        number = int(self.build) if self.build is not None and set(self.build) <= set(DIGITS) else -1
        return four, not self.identifiers, ranks(self.identifiers), number if number <= MAX_NUMBER else -1


def ranks(identifiers: tuple[str, ...]) -> tuple[tuple[bool, int, str], ...]:
    return tuple(
        (False, int(identifier), "") if set(identifier) <= set(DIGITS) else (True, 0, identifier)
        for identifier in identifiers
    )


def is_identifier(text: str) -> bool:
    if text == "" or not set(text) <= set(WORD):
        return False
    return not (set(text) <= set(DIGITS) and len(text) > 1 and text[0] == "0")


def divide(text: str) -> tuple[str, str]:
    """Package for display, and what follows it."""
    for position in range(1, len(text) - 1):
        if text[position] == "@":
            return text[:position], text[position + 1 :]
    return "", text


def scan(text: str) -> Version | None:
    """The semantic version, where there is one."""
    package, raw = divide(text)
    if len(raw) in (12, 16, 20, 32, 40, 64) and set(raw) <= set(DIGITS + "abcdefABCDEF"):
        return None
    body, plus, build = raw.partition("+")
    body = body.removeprefix("v")
    end = 0
    while end < len(body) and body[end] in DIGITS + ".":
        end += 1
    head, tail = body[:end].split("."), body[end:]
    refused = (
        (plus and not all(run and set(run) <= set(WORD) for run in build.split(".")))
        or not 1 <= len(head) <= 4
        or not all(head)
        or (len(head) == 1 and package == "")
        or (tail and tail[0] != "-" and (tail[0] not in SMALL or len(head) == 1))
        or (tail and not all(is_identifier(identifier) for identifier in tail.removeprefix("-").split(".")))
    )
    if refused:
        return None
    major, minor, patch, revision = [int(number) for number in (*head, "0", "0", "0")][:4]
    if max(major, minor, patch, revision) > MAX_NUMBER:
        return None
    return Version(
        text=text,
        raw=raw,
        display_package=package,
        package=package,
        major=major,
        minor=minor,
        patch=patch,
        revision=revision,
        prerelease=tail.removeprefix("-"),
        build_code=build if plus else None,
        build_number=int(build) if plus and set(build) <= set(DIGITS) and int(build) <= MAX_NUMBER else None,
        components=len(head),
    )


def rank(version: Version | None) -> tuple[bool, Precedence | None]:
    """Where a scanned version stands among all releases; the same for all that are not semantic."""
    if version is None:
        return False, None
    four = (version.major or 0, version.minor or 0, version.patch or 0, version.revision or 0)
    names = ranks(tuple(version.prerelease.split("."))) if version.prerelease else ()
    return True, (four, not names, names, -1 if version.build_number is None else version.build_number)


numbers = st.one_of(
    st.integers(0, 3),
    st.sampled_from([9, 10, 99, 100, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, MAX_NUMBER - 1, MAX_NUMBER]),
    st.integers(0, MAX_NUMBER),
)
identifiers = st.one_of(
    st.sampled_from(["0", "1", "9", "10", "a", "a-", "a0", "aa", "A", "-", "--", "0a", "rc", "rc1", "rc10", "1-"]),
    st.integers(0, 10**40).map(str),
    st.text(alphabet=WORD, min_size=1, max_size=6).filter(is_identifier),
)
builds = st.one_of(
    st.none(),
    st.sampled_from(["0", "1", "007", "10", "a", "1.0", "-1", str(MAX_NUMBER), str(MAX_NUMBER + 1)]),
    st.integers(0, 300).map(str),
    st.text(alphabet=WORD, min_size=1, max_size=5),
)


@st.composite
def written_versions(draw: st.DrawFn) -> Written:
    package = draw(st.sampled_from(["", "", "app", "@scope", "1.0"]))
    four = tuple(draw(st.lists(numbers, min_size=1 if package else 2, max_size=4)))
    names = tuple(draw(st.lists(identifiers, max_size=4)))
    attachable = len(four) > 1 and names and names[0][0] in SMALL
    hyphen = draw(st.sampled_from(["", "-"])) if attachable else "-"
    zeros = draw(st.sampled_from([0, 0, 0, 2]))
    written = Written(package, draw(st.sampled_from(["", "v"])), four, zeros, hyphen, names, draw(builds))
    assume(len(written.text) <= 200)
    return written


valid_texts = st.text(
    alphabet=st.characters(exclude_categories=["Cc", "Cf", "Cs"], exclude_characters="/\\"), min_size=1, max_size=60
).map(lambda text: unicodedata.normalize("NFC", text).strip())
# Nearly versions: the characters that the rules turn on, in any order, and versions with one character changed.
soup = st.text(alphabet="0011239.....--++@vVaxZ fF", min_size=1, max_size=40)
damaged = st.builds(
    lambda written, position, mark: (
        written.text[: position % (len(written.text) + 1)] + mark + written.text[position % (len(written.text) + 1) :]
    ),
    written_versions(),
    st.integers(0, 200),
    st.sampled_from([*".-+@v0 9aZ_", "00", "..", "\u0663", "\u00e9"]),
)
texts = st.one_of(valid_texts, soup, damaged, written_versions().map(lambda written: written.text))


def is_valid(text: str) -> bool:
    try:
        check_version(text)
    except InvalidVersion:
        return False
    return True


@given(written_versions())
def test_a_written_version_is_valid_and_says_what_was_written(written: Written) -> None:
    check_version(written.text)
    version = parse_version(written.text)
    if scan(written.text) is None:
        # Digits alone, as many as a commit id has: the one way to write numbers that are read otherwise.
        assert version.build_hash == version.raw
        return
    assert (version.major, version.minor, version.patch, version.revision) == (*written.numbers, 0, 0, 0)[:4]
    assert version.package == written.package
    assert version.prerelease == ".".join(written.identifiers)
    assert version.build_code == written.build
    assert version.components == len(written.numbers)


@given(texts)
@example("1.0-0-")
@example("app@1.0rc.01")
@example("a@1.2.3.4.5")
def test_every_text_reads_as_a_second_reading_of_the_rules_says(text: str) -> None:
    package, raw = divide(text)
    assert parse_version(text) == (scan(text) or Version(text=text, raw=raw, display_package=package))


@given(texts)
def test_every_valid_text_parses_and_twice_alike(text: str) -> None:
    assume(is_valid(text))
    version = parse_version(text)
    assert version == parse_version(text)
    assert version.text == text
    assert f"{version.display_package}@{version.raw}" == text or (version.display_package, version.raw) == ("", text)
    columns = (version.package, version.major, version.minor, version.patch, version.revision, version.prerelease)
    assert all(column is None for column in columns) or all(column is not None for column in columns)
    assert version.is_semver == (version.sort_key >= b"\x01")


@given(written_versions(), written_versions())
def test_sort_keys_compare_as_precedence_does(one: Written, other: Written) -> None:
    left, right = parse_version(one.text), parse_version(other.text)
    assume(left.is_semver and right.is_semver)
    assert (left.sort_key < right.sort_key) == (one.precedence < other.precedence)
    assert (left.sort_key > right.sort_key) == (one.precedence > other.precedence)
    assert (left.sort_key == right.sort_key) == (one.precedence == other.precedence)


@given(st.lists(identifiers, min_size=1, max_size=5), st.lists(identifiers, min_size=1, max_size=5), st.integers(0, 5))
def test_prereleases_of_one_version_compare_identifier_by_identifier(
    one: list[str], other: list[str], shared: int
) -> None:
    other = one[:shared] + other
    left, right = parse_version(f"1.0-{'.'.join(one)}"), parse_version(f"1.0-{'.'.join(other)}")
    assert (left.sort_key < right.sort_key) == (ranks(tuple(one)) < ranks(tuple(other)))
    assert (left.sort_key == right.sort_key) == (one == other)


@given(st.integers(0, 10**195), st.integers(0, 10**195))
def test_numeric_identifiers_compare_as_numbers_whatever_their_length(one: int, other: int) -> None:
    left, right = parse_version(f"1.0-{one}"), parse_version(f"1.0-{other}")
    assert (left.sort_key < right.sort_key) == (one < other)
    assert (left.sort_key == right.sort_key) == (one == other)


@given(st.lists(texts, min_size=2, max_size=5))
def test_the_order_is_total_over_texts_of_every_kind(some: list[str]) -> None:
    # Every two are below, alike or above as the reading by tuples says, and tuples of one shape are totally ordered.
    for one, other in permutations(some, 2):
        left, right = rank(scan(one)), rank(scan(other))
        below = left[0] < right[0] if left[1] is None or right[1] is None else left[1] < right[1]
        assert (parse_version(one).sort_key < parse_version(other).sort_key) == below
        assert (parse_version(one).sort_key == parse_version(other).sort_key) == (left == right)


@given(written_versions())
def test_the_text_can_be_read_back_from_what_is_shown(written: Written) -> None:
    version = parse_version(written.text)
    assume(version.is_semver)
    typed, _, rest = version.description.partition(" (")
    shown = rest.removesuffix(")")
    if version.build_code is None:
        assert version.description == version.raw
    elif version.build_hash is None:
        assert f"{typed}+{shown}" == version.raw
    else:
        assert version.raw.startswith(f"{typed}+{shown}")
        assert len(shown) == 12
    again = parse_version(f"app@{typed}")
    assert (again.major, again.prerelease, again.components) == (version.major, version.prerelease, version.components)


@given(valid_texts)
def test_text_is_valid_unless_a_rule_refuses_it(text: str) -> None:
    assert is_valid(text) == (text not in ("", "-", ".", "..") and text.lower() != "latest")


@given(st.lists(st.booleans(), max_size=14))
def test_a_semantic_release_more_never_makes_a_project_stop_following_semver(newest_first: list[bool]) -> None:
    assume(follows_semver(newest_first))
    for position in range(len(newest_first)):
        assert follows_semver([*newest_first[:position], True, *newest_first[position + 1 :]])
