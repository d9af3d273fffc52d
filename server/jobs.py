"""What the server does by itself beside its calls: the jobs of its housekeeping."""

from __future__ import annotations

from collections.abc import Callable

from store import Store
from store.blobs.collector import Collector
from store.blobs.scrub import scrub
from store.database import Database
from store.database.replays import purge_expired
from store.errors import AdoptionBusy, CollectorBusy
from store.health.adoption import run_adoption_hourly
from store.health.items import SessionLimits
from store.health.upkeep import keep_up
from store.organizations.drain import drain_deleted_organizations, drain_deleted_projects
from store.releases.drain import drain_deleted_releases
from store.uploads.uploads import purge_uploads


def jobs(
    store: Store, collector: Collector, limits: SessionLimits, stopped: Callable[[], bool]
) -> dict[str, Callable[[], object]]:
    """Each job by its name, in the order of a round. `stopped` tells a long one to end."""
    return {
        # What these mark is what the drain of releases removes.
        "drain deleted projects": lambda: drain_deleted_projects(store.db, stopped=stopped),
        "drain deleted organizations": lambda: drain_deleted_organizations(store.db, stopped=stopped),
        "drain deleted releases": lambda: drain_deleted_releases(store.db, stopped=stopped),
        "purge answers of request ids": lambda: purge_expired(store.db),
        # While no file can be written, nobody can go on with one.
        "purge uploads": lambda: purge_uploads(store.db) if store.blobs.packs.writable else 0,
        "adoption": lambda: _adopted(store.db, stopped),
        "upkeep of release health": lambda: keep_up(store.db, limits, stopped=stopped).changes,
        # Behind whatever drops references.
        "collect": lambda: _collected(collector, stopped),
        "scrub": lambda: scrub(store.db, store.blobs.packs, stopped=stopped),
    }


def _adopted(db: Database, stopped: Callable[[], bool]) -> int:
    try:
        return run_adoption_hourly(db, stopped=stopped).changes
    except AdoptionBusy:
        return 0  # another server is at it


def _collected(collector: Collector, stopped: Callable[[], bool]) -> int:
    try:
        return collector.collect(stopped=stopped).removed
    except CollectorBusy:
        return 0  # another server is at it
