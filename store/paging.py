"""Pages of a list: where one ends, where the next begins, and the tokens that callers carry between them.

Pages are found by key, never by offset: a page deep in a list costs what the first costs, and nothing that is in the
list all along is skipped or repeated, whatever is inserted meanwhile. See behaviour.md, Pages.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import peewee

from store.access.secrets import installation_secret
from store.clock import Clock
from store.database import Database
from store.errors import PageTokenInvalid

T = TypeVar("T")
Key = tuple[int | bytes | str, ...]

GOOD_FOR_US: Final = 3 * 24 * 3600 * 1_000_000

PAGE_BYTES: Final = 2**20
"""A page of things that may be large ends before it passes this on the wire: clients take messages of 4 MiB."""

_VERSION: Final = 1
_MAC_BYTES: Final = 16
_HEAD: Final = struct.Struct(">BBq")  # version, whether backward, when minted
_INT: Final = struct.Struct(">q")
_LENGTH: Final = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list: just after the item with this key, or, walking backward, just before it.

    The key holds what the list is sorted by, its last part unique. An empty key is the list's beginning.
    """

    key: Key
    backward: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for: at most `size` items from the position on, or from the beginning."""

    size: int
    position: Position | None = None

    def __post_init__(self) -> None:
        if self.position is not None and not self.position.key:
            object.__setattr__(self, "position", None)

    @property
    def backward(self) -> bool:
        """Whether rows are to be fetched against the list's order."""
        return self.position is not None and self.position.backward

    @property
    def limit(self) -> int:
        """How many rows to fetch: one more than the page holds tells whether there is more."""
        return self.size + 1


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items in the list's order, and the positions of the pages beside it; None where the list ends."""

    items: tuple[T, ...]
    next: Position | None
    previous: Position | None


def page_of(
    rows: Sequence[T],
    request: PageRequest,
    key: Callable[[T], Key],
    *,
    descending: bool = False,
    wall: Key | None = None,
) -> Page[T]:
    """The page of these rows, which were fetched in walking direction, up to `request.limit` of them.

    Rows of a backward walk come nearest first and are turned round. `descending`: the list begins with the largest key.
    `wall`: where the walk ended before the list and before the page was full, if it did: the page beyond goes on from
    there, however few rows this one has.
    """
    more = len(rows) > request.size
    stop = None if more else wall
    behind = -1 if descending else 1
    items = tuple(rows[: request.size])
    at = request.position
    if at is None or not at.backward:
        # Whoever came here by a position has something behind: the page that told the position.
        following = Position(key(items[-1])) if more else None if stop is None else Position(stop)
        preceding = None if at is None else Position(key(items[0]) if items else _way_back(at.key, behind, stop), True)
        return Page(items, following, preceding)
    items = items[::-1]
    preceding = Position(key(items[0]), True) if more else None if stop is None else Position(stop, True)
    following = Position(key(items[-1]) if items else _way_back(at.key, -behind, stop))
    return Page(items, following, preceding)


def _way_back(key: Key, step: int, wall: Key | None) -> Key:
    """Where the way back from a page without items begins: at its wall, for between that and the place where the page
    began there is nothing; else beside that place."""
    return _beside(key, step) if wall is None else wall


def _beside(key: Key, step: int) -> Key:
    """The place right above (1) or below (-1) the item with this key, so that the item itself lies beyond it: the way
    back from a page without items. No text comes right below another: of those the way back begins at the list's
    beginning."""
    *front, last = key
    if isinstance(last, int):
        return *front, last + step
    if isinstance(last, bytes):
        # Beyond the first and the last id there is nothing; both are walls, and no item has them.
        number = min(max(int.from_bytes(last, "big") + step, 0), 256 ** len(last) - 1)
        return *front, number.to_bytes(len(last), "big")
    return (*front, last + "\x01") if step > 0 else ()


def fitting(request: PageRequest, weights: Iterable[int], *, most: int) -> PageRequest:
    """The request, for as few items as weigh at most `most` together, but for one at least.

    `weights` are those of its rows, in walking direction; they are asked for only as far as needed.
    """
    left = most
    for index, weight in enumerate(islice(weights, request.size)):
        left -= weight
        if left < 0 and index:
            return replace(request, size=index)
    return request


def wire_bytes(*texts: str) -> int:
    """How many bytes these take in a message, without the lengths that go before them."""
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


def paged(query: Any, request: PageRequest, columns: Sequence[Any], *, descending: bool = False) -> Any:
    """The query, ordered by the columns and cut to the page asked for: its rows are what `page_of` takes.

    For ordinary queries; the columns match the position's key, one by one, and an index holds them in this order.
    """
    falling = descending != request.backward
    ordered = query.order_by(*[column.desc() if falling else column.asc() for column in columns]).limit(request.limit)
    if request.position is None:
        return ordered
    key = request.position.key
    if len(key) != len(columns):  # minted by an older server that sorted this list otherwise
        raise PageTokenInvalid
    place = peewee.Tuple(*columns)
    values = peewee.Tuple(
        *[peewee.Value(part, converter=column.db_value) for part, column in zip(key, columns, strict=True)]
    )
    return ordered.where(place < values if falling else place > values)


class PageTokens:
    """Makes and opens page tokens: positions that a caller carries and cannot change.

    A token is good for 3 days, and only with the binding it was made for. It authorizes nothing: whoever opens it
    has been let in by other means.
    """

    def __init__(self, secret: bytes, *, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def mint(self, position: Position, *, binding: bytes) -> str:
        """The token of a position, for the binding: the caller, the method and all arguments but the page's size."""
        payload = _HEAD.pack(_VERSION, position.backward, self._clock.now_us()) + _packed(position.key)
        return _text(payload + self._mac(payload, binding))

    def open(self, token: str, *, binding: bytes) -> Position:
        """The position that the token was made of. Raises `PageTokenInvalid` for every other text."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (UnicodeEncodeError, binascii.Error):
            raise PageTokenInvalid from None
        if _text(raw) != token:  # the decoder skips foreign characters and spare bits
            raise PageTokenInvalid
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload, binding)):
            raise PageTokenInvalid
        version, backward, minted = _HEAD.unpack_from(payload)  # ours from here on: the code is right
        if version != _VERSION or self._clock.now_us() - minted > GOOD_FOR_US:
            raise PageTokenInvalid
        return Position(_unpacked(payload[_HEAD.size :]), bool(backward))

    def _mac(self, payload: bytes, binding: bytes) -> bytes:
        bound = hashlib.sha256(binding).digest()
        return hmac.digest(self._secret, bound + payload, "sha256")[:_MAC_BYTES]


def open_page_tokens(database: Database) -> PageTokens:
    """The page tokens of an installation; every server of it makes and takes the same."""
    return PageTokens(installation_secret(database, "page-tokens"), clock=database.clock)


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _packed(key: Key) -> bytes:
    parts = []
    for part in key:
        if isinstance(part, int):
            parts.append(b"i" + _INT.pack(part))
            continue
        tag, raw = (b"s", part.encode()) if isinstance(part, str) else (b"b", part)
        parts.append(tag + _LENGTH.pack(len(raw)) + raw)
    return b"".join(parts)


def _unpacked(raw: bytes) -> Key:
    key: list[int | bytes | str] = []
    at = 0
    while at < len(raw):
        tag, at = raw[at : at + 1], at + 1
        if tag == b"i":
            key.append(_INT.unpack_from(raw, at)[0])
            at += _INT.size
            continue
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        part = raw[at : at + length]
        key.append(part.decode() if tag == b"s" else part)
        at += length
    return tuple(key)
