"""Packs that lie in the blob store and that no row knows: what a stream left behind that was killed between its sync
and its rows, or what is newer than a database that was restored from a backup."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from store.blobs.models import Pack
from store.blobs.packs import PackStore, StoredPack
from store.database import Database, Query, hole, query_shape
from store.database.batches import batches, filled, holes

_AT_ONCE: Final = 500
_KNOWN: Final = Query(Pack.select(Pack.id).where(Pack.id == hole(Pack.id)))


@query_shape
def _known(size: int) -> Query[tuple[Any, ...]]:
    return Query(Pack.select(Pack.id).where(Pack.id.in_(holes(Pack.id, size))))


def unknown_packs(database: Database, packs: PackStore, cutoff: int) -> Iterator[StoredPack]:
    """The packs that no row knows and that were last written at `cutoff` or before. Raises BlobsDown.

    A younger one may be of a stream that is about to write its rows.
    """
    listed = packs.list_packs()
    while part := list(islice(listed, _AT_ONCE)):
        known: set[bytes] = set()
        for batch in batches([stored.id for stored in part]):
            known.update(row[0] for row in database.rows(_known(len(batch)), **filled(batch)))
        for stored in part:
            # Asked once more by its key: its row may have come while the list was read.
            if stored.id not in known and stored.modify_time <= cutoff and database.row(_KNOWN, id=stored.id) is None:
                yield stored
