"""Version strings: what is a valid one, what it says, and how versions are ordered (behaviour.md, Versions).

A version is free text chosen by the caller. `check_version` says whether it may name a release; `parse_version` reads
the semantic version out of it, where there is one; `Version.sort_key` orders releases in a database index.
Everything here is pure.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import ClassVar, Final

from store.errors import FieldViolation, InvalidArgument

__all__ = [
    "FIRST_SEMVER_KEY",
    "MAX_NUMBER",
    "MAX_VERSION_LENGTH",
    "NO_BUILD_KEY",
    "NO_SEMVER_KEY",
    "InvalidVersion",
    "Version",
    "check_version",
    "follows_semver",
    "parse_version",
]

MAX_VERSION_LENGTH: Final = 200
"""The most characters (code points) a version may have."""

MAX_NUMBER: Final = 2**63 - 1
"""The largest major, minor, patch, revision and build number; they are kept in signed 64-bit columns."""

NO_SEMVER_KEY: Final = b"\x00"
"""The sort key of every release without a semantic version: among themselves they are ordered by id alone."""

FIRST_SEMVER_KEY: Final = b"\x01"
"""Every semantic version has `sort_key >= FIRST_SEMVER_KEY` and every other release a smaller one, so a list that
wants the others last, in either direction, reads first one side of this bound and then the other."""

NO_BUILD_KEY: Final = -1
"""The build key of every release without a build number."""

READ_VERSIONS: Final = 4096
"""What was read out of so many versions is remembered: the same few are asked for again and again."""

_ALLOWED: Final = (
    f"A version is 1 to {MAX_VERSION_LENGTH} characters of NFC text without '/', '\\', control or format characters,"
    " and without spaces at its ends, for example app@1.2.3+45."
)
_FORBIDDEN: Final = {
    "/": "a slash",
    "\\": "a backslash",
    "\r": "a carriage return",
    "\n": "a line feed",
    "\f": "a form feed",
    "\t": "a tab",
}
_FORBIDDEN_CATEGORIES: Final = {
    "Cc": "a control character",
    "Cf": "a format character",
    "Cs": "a surrogate",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_RESERVED: Final = frozenset({".", "..", "-", "latest"})

_HASH_LENGTHS: Final = frozenset({12, 16, 20, 32, 40, 64})
_HEX: Final = re.compile(r"[0-9A-Fa-f]++")

# A SemVer 2 identifier: letters, digits and hyphens, and no leading zero where all are digits. Every repetition is
# possessive, so a text that does not match is given up in one pass.
_IDENTIFIERS: Final = r"(?!0\d++(?![A-Za-z-]))[0-9A-Za-z-]++(?:\.(?!0\d++(?![A-Za-z-]))[0-9A-Za-z-]++)*+"
_SEMVER: Final = re.compile(
    r"v?+(\d++)(?:\.(\d++))?+(?:\.(\d++))?+(?:\.(\d++))?+"  # one to four numbers, leading zeros allowed
    rf"(?:-({_IDENTIFIERS})|((?=[a-z]){_IDENTIFIERS}))?+"  # a prerelease, after "-" or attached: 1.0-rc1, 1.0rc1
    r"(?:\+([0-9A-Za-z-]++(?:\.[0-9A-Za-z-]++)*+))?+",  # a build code
    re.ASCII,
)

_FOUR_NUMBERS: Final = Struct(">BQQQQ")
_BUILD_NUMBER: Final = Struct(">Q")
_SEMVER_CLASS: Final = 1
_END, _NUMERIC, _ALPHANUMERIC, _FINAL = b"\x00", 1, 2, b"\xff"


class InvalidVersion(InvalidArgument):
    """The text cannot be the version of a release; the message says why and what is allowed."""

    reason: ClassVar[str] = "INVALID_FIELD"

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The version {problem}. {_ALLOWED}",
            violations=(FieldViolation(field="version", description=f"{problem}. {_ALLOWED}"),),
        )


@dataclass(frozen=True, slots=True)
class Version:
    """What a version string says. `package` to `build_number` are the columns a release keeps.

    Without a semantic version (`is_semver` false) all those columns are None and `components` is 0.

    Attributes:
        text: the whole string, as it was given.
        raw: the part behind the package and its `@`; the whole string when there is no package.
        display_package: the part before that `@`, also where no semantic version follows; "" without one.
        package: the same for semantic versions, None for all others.
        major, minor, patch, revision: 0 to `MAX_NUMBER`; the ones not written are 0.
        prerelease: without its leading hyphen; "" for a final version.
        build_code: what follows the `+`; None without one.
        build_number: the build code, where that is digits alone and at most `MAX_NUMBER`; else None.
        components: how many of the four numbers were written.
    """

    text: str
    raw: str
    display_package: str
    package: str | None = None
    major: int | None = None
    minor: int | None = None
    patch: int | None = None
    revision: int | None = None
    prerelease: str | None = None
    build_code: str | None = None
    build_number: int | None = None
    components: int = 0

    @property
    def is_semver(self) -> bool:
        """Whether the text carries a semantic version."""
        return self.major is not None

    @property
    def build_hash(self) -> str | None:
        """The build code if it looks like a commit id, else the raw version if that does, else None.

        Looking like one is: exactly 12, 16, 20, 32, 40 or 64 characters, all hexadecimal digits of either case.
        """
        if self.build_code is not None and _is_build_hash(self.build_code):
            return self.build_code
        return self.raw if _is_build_hash(self.raw) else None

    @property
    def description(self) -> str:
        """The version as people are shown it.

        A semantic version is shown as it was typed, without package, its build code in parentheses behind it and cut
        to 12 characters if it is a build hash; a bare build hash by its first 12 characters; all else unchanged.
        """
        if self.major is None:
            return self.raw[:12] if _is_build_hash(self.raw) else self.text
        build = self.build_code
        if build is None:
            return self.raw
        typed = self.raw[: -len(build) - 1]
        return f"{typed} ({build[:12] if _is_build_hash(build) else build})"

    @property
    def sort_key(self) -> bytes:
        """Bytes that compare as versions do, on any database; at most 340 of them.

        Numbers first; then SemVer 2 precedence of the prerelease, a final version above its prereleases; then the
        build number, none being the lowest. Keys are equal exactly where the versions are: package and textual build
        codes do not count. Versions that are not semantic share one key, `NO_SEMVER_KEY`.
        """
        if self.major is None:
            return NO_SEMVER_KEY
        numbers = _FOUR_NUMBERS.pack(_SEMVER_CLASS, self.major, self.minor, self.patch, self.revision)
        # Nothing follows the build number, so that a key without one is a beginning of those with one, and below them.
        build = b"" if self.build_number is None else _BUILD_NUMBER.pack(self.build_number)
        return numbers + (_prerelease_key(self.prerelease) if self.prerelease else _FINAL) + build

    @property
    def build_key(self) -> int:
        """The build number as lists are sorted by it: `NO_BUILD_KEY` without one, which is below all."""
        return NO_BUILD_KEY if self.build_number is None else self.build_number


def check_version(text: str) -> None:
    """Return when the text may be the version of a release.

    Nothing is trimmed or normalised for the caller: two callers who see the same characters mean the same release.
    `@ + % :` and inner spaces are legal.

    Raises:
        InvalidVersion: the text is empty or longer than `MAX_VERSION_LENGTH` characters; holds a slash, a backslash,
            a control or format character, a line or paragraph separator or a surrogate; begins or ends with white
            space; is not in Unicode normalisation form C; or is `.`, `..`, `-` or, in any letter case, `latest`.
    """
    if not text:
        raise InvalidVersion("is empty")
    if len(text) > MAX_VERSION_LENGTH:
        raise InvalidVersion(f"has {len(text)} characters, and at most {MAX_VERSION_LENGTH} are allowed")
    if "/" in text or "\\" in text or not text.isprintable():
        _check_characters(text)
    if text[0].isspace() or text[-1].isspace():
        raise InvalidVersion(f"{'begins' if text[0].isspace() else 'ends'} with a space, and spaces are not trimmed")
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        raise InvalidVersion("is not in Unicode normalisation form C (NFC), so another text would look the same")
    if text.lower() in _RESERVED:
        raise InvalidVersion(f"{text!r} is reserved, as are '.', '..', '-' and, in any letter case, 'latest'")


@lru_cache(maxsize=READ_VERSIONS)
def parse_version(text: str) -> Version:
    """Read a version string; every text gives a Version, whether or not it carries a semantic version.

    A package stands before the first `@` that is not the first character, if anything follows that `@`. A build hash
    (12, 16, 20, 32, 40 or 64 hexadecimal digits) is no semantic version. A semantic version is one to four numbers,
    a prerelease attached by `-` or, behind at least two numbers, by its own lower-case letter, and `+` with a build
    code; a lower-case `v` may stand before it (upper-case `V` is not one: texts compare by code point, and tools that
    know the prefix write it small). Without a package at least two numbers are needed, so `42` is none.
    A number above `MAX_NUMBER` leaves no semantic version at all.

    The text is expected to have passed `check_version`; nothing is raised for one that would not.
    """
    at = text.find("@", 1)
    if 0 < at < len(text) - 1:
        package, raw = text[:at], text[at + 1 :]
    else:
        package, raw = "", text
    match = None if _is_build_hash(raw) else _SEMVER.fullmatch(raw)
    if match is None:
        return Version(text, raw, package)
    first, second, third, fourth, prerelease, attached, build_code = match.groups()
    if second is None and (attached is not None or not package):
        return Version(text, raw, package)
    major, minor, patch, revision = int(first), int(second or 0), int(third or 0), int(fourth or 0)
    if major > MAX_NUMBER or minor > MAX_NUMBER or patch > MAX_NUMBER or revision > MAX_NUMBER:
        return Version(text, raw, package)
    return Version(
        text,
        raw,
        package,
        package,
        major,
        minor,
        patch,
        revision,
        prerelease or attached or "",
        build_code,
        _build_number(build_code) if build_code else None,
        4 if fourth else 3 if third else 2 if second else 1,
    )


def follows_semver(newest_first: Sequence[bool]) -> bool:
    """Say whether a project uses semantic versions, from its open releases.

    `newest_first` says of each release whether it is a semantic one, newest first; only ten are looked at. One or two
    releases: the newest must be one. Three to nine: one of the newest three. Ten: that, and three of the ten.
    A project without releases does not.
    """
    newest = newest_first[:10]
    if len(newest) < 3:
        return len(newest) > 0 and newest[0]
    if not any(newest[:3]):
        return False
    return len(newest) < 10 or sum(newest) >= 3


def _check_characters(text: str) -> None:
    for position, character in enumerate(text, start=1):
        problem = _FORBIDDEN.get(character) or _FORBIDDEN_CATEGORIES.get(unicodedata.category(character))
        if problem:
            # Named by its code point: an invisible character would not help in a message, or not survive it.
            raise InvalidVersion(f"has {problem} (U+{ord(character):04X}) as character {position}")


def _is_build_hash(text: str) -> bool:
    return len(text) in _HASH_LENGTHS and _HEX.fullmatch(text) is not None


def _build_number(build_code: str) -> int | None:
    if not build_code.isdigit():
        return None
    number = int(build_code)
    return number if number <= MAX_NUMBER else None


def _prerelease_key(prerelease: str) -> bytes:
    """Tagged identifiers, then 0x00: fewer identifiers sort lower, numbers below text, all below a final version.

    A number of any length is its count of digits, then its digits (it has no leading zero). Text is its characters:
    the next tag or 0x00 ends it, and both are below every character of an identifier, so `a` is below `a-` and `a0`.
    """
    key = bytearray()
    for identifier in prerelease.split("."):
        if identifier.isdigit():
            key.append(_NUMERIC)
            key.append(len(identifier))
        else:
            key.append(_ALPHANUMERIC)
        key += identifier.encode("ascii")
    return bytes(key + _END)
