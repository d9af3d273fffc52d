"""Who calls the store in these tests, what they call it about, and calls at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event
from typing import TypeVar

import peewee

from store.access import Access
from store.access.scopes import SCOPES
from store.database import Database, QueryEvent, new_id
from store.organizations.lookup import find_organization
from store.organizations.organizations import OrganizationDraft, create_organization
from store.organizations.projects import ProjectDraft, ProjectInOrganization, create_project
from store.organizations.rows import OrganizationRow, ProjectDetails
from store.paging import Page, PageRequest
from tests.postgres_server import pauses

T = TypeVar("T")

WAIT = 30.0
"""Seconds that nobody takes who is not lost."""

OPERATOR = Access(token_id=new_id(), organization_id=None, scopes=SCOPES, all_projects=True, project_ids=frozenset())


def member_of_all(organization: OrganizationRow, *, scopes: Iterable[str] = SCOPES - {"installation:admin"}) -> Access:
    """A token of the organization that is a member of every project."""
    return Access(new_id(), organization.id, frozenset(scopes), all_projects=True, project_ids=frozenset())


def member_of(organization: OrganizationRow, *projects: ProjectDetails) -> Access:
    """A token of the organization that is a member of these projects only."""
    ids = frozenset(project.id for project in projects)
    return Access(new_id(), organization.id, SCOPES - {"installation:admin"}, all_projects=False, project_ids=ids)


def new_organization(db: Database, slug: str = "acme", *, open_membership: bool = False) -> OrganizationRow:
    create_organization(db, OrganizationDraft(slug, open_membership=open_membership))
    return db.read(lambda reader: find_organization(reader, OPERATOR, slug))


def new_project(db: Database, organization: OrganizationRow, slug: str) -> ProjectDetails:
    made: ProjectInOrganization = create_project(db, OPERATOR, organization.slug, ProjectDraft(slug))
    return made[1]


def all_pages(list_page: Callable[[PageRequest], Page[T]], size: int) -> list[list[T]]:
    """Every page from the first to the last, by the positions that the pages tell."""
    page = list_page(PageRequest(size))
    pages = [list(page.items)]
    while page.next is not None:
        page = list_page(PageRequest(size, page.next))
        pages.append(list(page.items))
    return pages


def at_once(count: int, call: Callable[[int], T]) -> list[T | Exception]:
    """What each of `count` simultaneous calls answered or raised."""
    barrier = Barrier(count)

    def run(index: int) -> T | Exception:
        barrier.wait()
        try:
            return call(index)
        except Exception as error:  # noqa: BLE001 - told to the test
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@contextmanager
def held_at(db: Database, start: str) -> Iterator[Event]:
    """Holds whoever is the first to execute a statement that starts so, until the block ends; the event tells it."""
    held, go_on = Event(), Event()

    def hold(event: QueryEvent) -> None:
        if event.sql.startswith(start) and not held.is_set():
            held.set()
            go_on.wait(60)

    db.hooks.append(hold)
    try:
        with pauses():
            yield held
    finally:
        go_on.set()


@contextmanager
def half_done(db: Database, statement: str, work: Callable[[], T]) -> Iterator[Future[T]]:
    """Inside the block `work` has executed a statement that begins so, and goes no further."""
    with ThreadPoolExecutor(1) as threads, held_at(db, statement) as held:
        done = threads.submit(work)
        assert held.wait(WAIT)
        yield done


def second(db: Database, threads: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
    """`work`, which has come as far as it can while another transaction is open."""
    done = threads.submit(work)
    if db.engine == "postgresql":  # on SQLite it waits for its turn to write
        query = peewee.Select([peewee.Table("pg_stat_activity")], [peewee.fn.COUNT(peewee.SQL("*"))]).where(
            peewee.SQL("wait_event_type = 'Lock'")
        )
        for _ in range(3000):
            if done.done() or db.read(lambda reader: reader.fetch(query.tuples()))[0][0]:
                break
            Event().wait(0.01)
    return done


def errors_in(outcomes: Sequence[object]) -> list[Exception]:
    return [outcome for outcome in outcomes if isinstance(outcome, Exception)]
