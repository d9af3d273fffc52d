"""A search query as a tree: what the words of the search language mean, without how they were written.

The tree is what `parse_query` answers, `format_query` writes and a compiler turns into conditions. It is in one form
for all ways to write a query: an And holds no And, an Or no Or, an In at least two values and none twice, `!=` is a
Not, and text of keys without case is folded (`store.text.folded`).

Conditions are true or false, never unknown: a Not holds wherever its condition does not, also for a release that has no
value there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from struct import Struct
from typing import Final, TypeAlias

from store.releases.version import FIRST_SEMVER_KEY, parse_version

MINUTE: Final = 60_000_000
"""A minute in microseconds."""

_NUMBER: Final = Struct(">Q")
# No identifier, number or mark of a sort key begins so, and no build number is longer.
_BEYOND: Final = b"\xff" * 9


class Key(StrEnum):
    """What a term asks for; the value is how the key is written."""

    RELEASE = "release"
    VERSION = "release.version"
    PACKAGE = "release.package"
    BUILD = "release.build"
    CREATED = "release.created"
    RELEASED = "release.released"
    STAGE = "release.stage"
    FINALIZED = "finalized"
    STATUS = "status"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    REF = "ref"
    OWNER = "owner"
    LABEL = "label"
    AUTHOR = "author"
    COMMIT = "commit"
    REPOSITORY = "repository"
    REFERENCE = "reference"
    DEPLOYED = "deployed"
    FILE = "file"
    COMMITS = "commits"
    DEPLOYS = "deploys"


class Operator(StrEnum):
    """How a value is compared; the value is how the operator is written."""

    EQUAL = "="
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


class Precision(Enum):
    """What a time leaves open; the value is how long that is, in microseconds."""

    DAY = 1440 * MINUTE
    MINUTE = MINUTE
    SECOND = 1_000_000
    MICROSECOND = 1


@dataclass(frozen=True, slots=True)
class Text:
    """Just this text. The empty text is a value of its own: a ref that is not set is empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Any text that begins with the first part, ends with the last, and holds the others between, in this order and
    without overlap. There are at least two parts, one of them not empty; only the outer ones may be empty."""

    parts: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """What every such text begins with: the range of an index."""
        return self.parts[0]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Any text that begins so."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest release of each selected project (docs/search.md, The latest release)."""


@dataclass(frozen=True, slots=True)
class Number:
    """0 to 2^63 - 1."""

    number: int


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    value: bool


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words, in lower case, such as `open` and `archived`."""

    word: str


@dataclass(frozen=True, slots=True)
class VersionPoint:
    """A semantic version whatever its build: the sort keys from `first_key` to before `beyond_key`.

    `package` None stands for any, also none; `version` has three numbers, the fourth where it is not 0, and the
    prerelease: `1.2.0`, `1.2.0.4-rc1`.
    """

    package: Text | Wildcard | None
    version: str

    @property
    def first_key(self) -> bytes:
        """The lowest sort key (`Version.sort_key`) of this version, that without a build number."""
        return parse_version(self.version).sort_key

    @property
    def beyond_key(self) -> bytes:
        """A key above all of this version, whatever their build number, and below those of any higher version."""
        return self.first_key + _BEYOND


@dataclass(frozen=True, slots=True)
class VersionPrefix:
    """Any semantic version that begins with these numbers, prereleases too: `1.2.*`. At most three numbers; none only
    where there is a package."""

    package: Text | Wildcard | None
    numbers: tuple[int, ...]

    @property
    def first_key(self) -> bytes:
        """A key not above the sort key of any such version."""
        return FIRST_SEMVER_KEY + b"".join(map(_NUMBER.pack, self.numbers))

    @property
    def beyond_key(self) -> bytes:
        """A key above the sort keys of all such versions, and below those of any higher one."""
        return self.first_key + _BEYOND


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of time, of which a time written less than exactly is one: from `first` to before `beyond`, in
    microseconds since 1970 UTC.

    A day, minute, second or microsecond that begins `at`; with `around`, five minutes more on either side.
    """

    at: int
    precision: Precision
    around: bool = False

    @property
    def first(self) -> int:
        """Its first microsecond."""
        return self.at - (5 * MINUTE if self.around else 0)

    @property
    def beyond(self) -> int:
        """The first microsecond behind it."""
        return self.at + self.precision.value + (5 * MINUTE if self.around else 0)


@dataclass(frozen=True, slots=True)
class Ago:
    """The instant so many minutes before the query is run. It is never compared with EQUAL."""

    minutes: int


Value: TypeAlias = (
    Text | Wildcard | Prefix | Latest | Number | Flag | Word | VersionPoint | VersionPrefix | Moment | Ago
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A release has a value of the key that compares so: is equal to, or above, or below, the value given.

    `name` is that of the label or the environment, and "" for other keys; `deployed` with "" asks for any environment.
    Below and above a Moment is outside of it: a time is below, in, or above.
    """

    key: Key
    operator: Operator
    value: Value
    name: str = ""


@dataclass(frozen=True, slots=True)
class In:
    """A release has a value of the key that is equal to one of these."""

    key: Key
    values: tuple[Value, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Has:
    """A release has a value of the key: a text that is not empty, a time, a count above 0, a semantic version, a build
    code; one commit, file and the like at least. `label` with the name "" asks for any label."""

    key: Key
    name: str = ""


@dataclass(frozen=True, slots=True)
class FreeText:
    """The folded version of a release contains this: a text, or the parts of a wildcard in their order."""

    value: Text | Wildcard

    @property
    def texts(self) -> tuple[Text | Wildcard, ...]:
        """What it contains is one of these: `1.0 (45)`, as versions are shown, stands for `1.0+45` too."""
        text = self.value.text if isinstance(self.value, Text) else ""
        version, found, build = text.removesuffix(")").rpartition(" (")
        if found and version and build and text.endswith(")"):
            return self.value, Text(f"{version}+{build}")
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Expression


@dataclass(frozen=True, slots=True)
class And:
    """All conditions hold; there are at least two."""

    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the conditions holds; there are at least two."""

    conditions: tuple[Expression, ...]


Expression: TypeAlias = And | Or | Not | Comparison | In | Has | FreeText


def keys_of(expression: Expression) -> frozenset[Key]:
    """The keys that a query uses anywhere."""
    match expression:
        case And(conditions) | Or(conditions):
            return frozenset().union(*map(keys_of, conditions))
        case Not(condition):
            return keys_of(condition)
        case FreeText():
            return frozenset()
        case Comparison(key=key) | In(key=key) | Has(key=key):
            return frozenset({key})
