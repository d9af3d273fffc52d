"""What of the blob store a database needs: packs with a chunk that a file, a picture or an open upload refers to."""

from __future__ import annotations

from functools import partial, reduce
from operator import or_
from typing import Any, Final, NamedTuple

import peewee

from store.access.secrets import known_secret
from store.blobs.blobs import REGISTRY_PURPOSE, registry_id_of
from store.blobs.models import LIVE, Chunk, Content, ContentChunk, Pack
from store.blobs.unused import (
    CONTENT_REFERENCES,
    packs_in_use,
    remove_chunks,
    remove_contents,
    unused_chunks,
    unused_contents,
)
from store.database import Database, Query, Reader, Statement, Transaction, hole
from store.uploads.models import UploadChunk

_FOREVER: Final = 2**62
"""Later than anything was used: of a database that nobody serves yet, nothing needs its grace time."""

_AT_ONCE: Final = 500


class NeededPack(NamedTuple):
    """A pack that rows need, and how many of its bytes they know."""

    id: bytes
    size_bytes: int


class Snapshot(NamedTuple):
    """What the copy of a database says: which schema it has, whose blobs are its own, and which packs it needs."""

    migrations: tuple[str, ...]
    registry_id: bytes
    packs: tuple[NeededPack, ...]


def _one(model: Any) -> Any:
    return model.select(peewee.SQL("1"))


def _is_kept() -> Any:
    """That something refers to a content."""
    return reduce(
        or_, (peewee.fn.EXISTS(_one(column.model).where(column == Content.id)) for column in CONTENT_REFERENCES)
    )


_IN_A_CONTENT: Final = peewee.fn.EXISTS(
    _one(ContentChunk)
    .join(Content, on=(Content.id == ContentChunk.content_id))
    .where(ContentChunk.organization_id == Chunk.organization_id, ContentChunk.chunk_sha256 == Chunk.sha256, _is_kept())
)
_IN_AN_UPLOAD: Final = peewee.fn.EXISTS(
    _one(UploadChunk).where(
        UploadChunk.organization_id == Chunk.organization_id, UploadChunk.chunk_sha256 == Chunk.sha256
    )
)
_NEEDED: Final = Query(
    Pack.select(Pack.id, Pack.size_bytes)
    .where(
        Pack.state == LIVE,
        peewee.fn.EXISTS(
            _one(Chunk).where(Chunk.pack_id == Pack.id, Chunk.state == LIVE, _IN_A_CONTENT | _IN_AN_UPLOAD)
        ),
    )
    .order_by(Pack.id),
    row=NeededPack,
)
_MIGRATION: Final[Any] = peewee.Table("schema_migration", ("name",))
_FORGET_PACK: Final = Statement(Pack.delete().where(Pack.id == hole(Pack.id)))


def snapshot_of(reader: Reader) -> Snapshot:
    """What a database says, in one snapshot of it."""
    migrations = [row[0] for row in reader.fetch(_MIGRATION.select(_MIGRATION.name).order_by(_MIGRATION.name).tuples())]
    secret = known_secret(reader, REGISTRY_PURPOSE)
    registry_id = registry_id_of(secret) if secret is not None else b""
    return Snapshot(tuple(migrations), registry_id, tuple(reader.rows(_NEEDED)))


def forget_unused(database: Database) -> None:
    """Removes the rows of contents, chunks and packs that nothing needs: a backup does not hold their bytes.

    For a database that nobody serves. Cut off anywhere it goes on the next time.
    """
    for contents in unused_contents(database, _FOREVER):
        for start in range(0, len(contents), _AT_ONCE):
            ids = [content.id for content in contents[start : start + _AT_ONCE]]
            database.write(partial(remove_contents, ids=ids, cutoff=_FOREVER), long=True)
    for chunks in unused_chunks(database, _FOREVER):
        keys = [(chunk.organization_id, chunk.sha256) for chunk in chunks]
        database.write(partial(remove_chunks, keys=keys, cutoff=_FOREVER), long=True)
    for pack in packs_in_use(database):
        if not pack.chunk_count:
            database.write(partial(_forget_pack, pack_id=pack.id))


def _forget_pack(tx: Transaction, *, pack_id: bytes) -> int:
    return tx.run(_FORGET_PACK, id=pack_id)
