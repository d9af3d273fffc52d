from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.database import Database
from store.errors import PageTokenInvalid
from store.paging import Key, Page, PageRequest, PageTokens, Position, open_page_tokens, page_of
from tests.clocks import ManualClock

SECRET = bytes(range(32))
BINDING = b"who, what, which"


def tokens(clock: ManualClock | None = None, secret: bytes = SECRET) -> PageTokens:
    return PageTokens(secret, clock=clock or ManualClock())


PARTS = st.one_of(
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.binary(max_size=60),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)


@given(key=st.lists(PARTS, max_size=5), backward=st.booleans(), binding=st.binary(max_size=40))
def test_a_token_opens_to_the_position_it_was_made_of(
    key: list[int | bytes | str], backward: bool, binding: bytes
) -> None:
    position = Position(tuple(key), backward)
    assert tokens().open(tokens().mint(position, binding=binding), binding=binding) == position


def test_a_token_is_good_for_3_days_to_the_microsecond() -> None:
    clock = ManualClock()
    page_tokens = tokens(clock)
    token = page_tokens.mint(Position((1,)), binding=BINDING)
    clock.advance(seconds=3 * 24 * 3600)
    assert page_tokens.open(token, binding=BINDING) == Position((1,))
    clock.advance(seconds=0.000_001)
    with pytest.raises(PageTokenInvalid):
        page_tokens.open(token, binding=BINDING)


def test_a_token_is_good_only_with_its_binding_and_its_installation() -> None:
    token = tokens().mint(Position((1, b"x")), binding=BINDING)
    with pytest.raises(PageTokenInvalid):
        tokens().open(token, binding=BINDING + b"!")
    with pytest.raises(PageTokenInvalid):
        tokens(secret=b"another secret of another server").open(token, binding=BINDING)


@pytest.mark.parametrize(
    "token", ["", "x", "=", "====", "a" * 1000, "ä", "\0", "-_-_", "AQ", "!!!", "A" * 22, "A" * 36, "\ud800"]
)
def test_any_other_text_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        tokens().open(token, binding=BINDING)


def test_no_mutation_of_a_token_is_accepted() -> None:
    page_tokens = tokens()
    token = page_tokens.mint(Position(("web", 5, b"0123456789abcdef"), backward=True), binding=BINDING)
    dice = random.Random(7)
    alphabet = string.ascii_letters + string.digits + "-_=+/ \n"
    for _ in range(5000):
        mutated = list(token)
        match dice.randrange(3):
            case 0:
                mutated[dice.randrange(len(mutated))] = dice.choice(alphabet)
            case 1:
                mutated.insert(dice.randrange(len(mutated) + 1), dice.choice(alphabet))
            case _:
                del mutated[dice.randrange(len(mutated))]
        text = "".join(mutated)
        if text != token:
            with pytest.raises(PageTokenInvalid):
                page_tokens.open(text, binding=BINDING)
    assert page_tokens.open(token, binding=BINDING).backward


def test_all_servers_of_an_installation_take_each_others_tokens(database: Database) -> None:
    token = open_page_tokens(database).mint(Position((1,)), binding=BINDING)
    assert open_page_tokens(database).open(token, binding=BINDING) == Position((1,))


# --- Pages ---


def numbers_page(there: list[int], request: PageRequest) -> Page[int]:
    """A page of a list of numbers, as a database would fetch it."""
    at = request.position.key[0] if request.position else None
    if request.backward:
        rows = [number for number in sorted(there, reverse=True) if isinstance(at, int) and number < at]
    else:
        rows = [number for number in sorted(there) if not isinstance(at, int) or number > at]
    return page_of(rows[: request.limit], request, _key)


def _key(number: int) -> Key:
    return (number,)


@given(
    there=st.sets(st.integers(0, 60), max_size=20),
    size=st.integers(1, 6),
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=12),
)
def test_what_is_there_all_along_is_seen_exactly_once_forth_and_back(
    there: set[int], size: int, changes: list[tuple[bool, int]]
) -> None:
    now, stayed, pending = set(there), set(there), list(changes)
    page = numbers_page(sorted(now), PageRequest(size))
    forth = list(page.items)
    while page.next is not None:
        if pending:
            adding, number = pending.pop()
            (now.add if adding else now.discard)(number)
            if not adding:
                stayed.discard(number)
        page = numbers_page(sorted(now), PageRequest(size, page.next))
        forth += page.items
    assert forth == sorted(set(forth))
    assert stayed <= set(forth)
    back = list(page.items)
    while page.previous is not None:
        page = numbers_page(sorted(now), PageRequest(size, page.previous))
        back = [*page.items, *back]
    assert back == sorted(set(back))


def test_an_empty_list_is_one_empty_page() -> None:
    assert numbers_page([], PageRequest(3)) == Page((), None, None)


def test_a_page_with_nothing_before_it_any_more_leads_to_the_first_page() -> None:
    page = numbers_page([5, 6], PageRequest(2, Position((5,), backward=True)))
    assert (page.items, page.previous) == ((), None)
    assert page.next is not None
    assert numbers_page([5, 6], PageRequest(2, page.next)).items == (5, 6)


def test_a_page_with_nothing_after_it_any_more_leads_back() -> None:
    page = numbers_page([1, 2, 3], PageRequest(2, Position((4,))))
    assert (page.items, page.next) == ((), None)
    assert page.previous is not None
    assert numbers_page([1, 2, 3], PageRequest(2, page.previous)).items == (2, 3)


@pytest.mark.parametrize("backward", [False, True])
def test_a_page_that_a_wall_left_empty_leads_on_from_the_wall_and_back_to_where_it_began(backward: bool) -> None:
    at, wall = (("x", "b"), ("a", "w")) if backward else (("a", "b"), ("x", "w"))
    page: Page[str] = page_of([], PageRequest(2, Position(at, backward)), lambda text: (text,), wall=wall)
    assert page == Page((), next=Position(wall), previous=Position(wall, backward=True))


def test_a_full_page_goes_on_behind_its_last_item_and_not_behind_a_wall() -> None:
    assert page_of([1, 2, 3], PageRequest(2), _key, wall=(9,)) == Page((1, 2), Position((2,)), None)
    assert page_of([1, 2], PageRequest(2), _key, wall=(9,)) == Page((1, 2), Position((9,)), None)


@pytest.mark.parametrize("key", [(5, b"\x00\x05"), (5, 5)])
def test_from_a_page_without_items_the_way_back_begins_with_the_item_that_led_to_it(key: Key) -> None:
    def ways_back(*, descending: bool) -> tuple[Position | None, Position | None]:
        def of(backward: bool) -> Page[str]:
            return page_of([], PageRequest(1, Position(key, backward)), lambda text: (text,), descending=descending)

        return of(backward=False).previous, of(backward=True).next

    back, on = ways_back(descending=False)
    assert back is not None
    assert on is not None
    assert on.key < key < back.key  # what is below the one, or above the other, includes the item
    back, on = ways_back(descending=True)
    assert back is not None
    assert on is not None
    assert back.key < key < on.key
