"""Answers kept for a day, so that a repeated request has one effect. See behaviour.md, Request ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import peewee

from store.database.engine import Database, Transaction
from store.database.fields import BytesField, IdField, TextField, TimeField
from store.database.query import Query, Statement, hole, holes_for
from store.database.terms import M, Once, R, Terms
from store.errors import DatabaseBusy, RequestIdReused
from store.metrics import REQUEST_REPLAYS

KEPT_US = 24 * 3600 * 1_000_000
PURGE_ROWS = 1000


class AnsweredRequest(peewee.Model):
    """The first answer to a request with a request_id."""

    token_id = IdField()
    method = TextField()
    request_id = TextField()
    body_sha256 = BytesField()
    reply = BytesField()
    expire_time = TimeField(index=True)

    class Meta:
        table_name = "answered_request"
        primary_key = peewee.CompositeKey("token_id", "method", "request_id")


_KEY = (
    (AnsweredRequest.token_id == hole(AnsweredRequest.token_id))
    & (AnsweredRequest.method == hole(AnsweredRequest.method))
    & (AnsweredRequest.request_id == hole(AnsweredRequest.request_id))
)
_CLAIM = Statement(
    AnsweredRequest.insert(
        {
            **holes_for(
                AnsweredRequest.token_id,
                AnsweredRequest.method,
                AnsweredRequest.request_id,
                AnsweredRequest.body_sha256,
                AnsweredRequest.expire_time,
            ),
            AnsweredRequest.reply: b"",
        }
    ).on_conflict(
        action="nothing",
        conflict_target=[AnsweredRequest.token_id, AnsweredRequest.method, AnsweredRequest.request_id],
    )
)
_FIND = Query(
    AnsweredRequest.select(AnsweredRequest.body_sha256, AnsweredRequest.reply, AnsweredRequest.expire_time).where(_KEY)
)
_ANSWER = Statement(
    AnsweredRequest.update(
        holes_for(AnsweredRequest.body_sha256, AnsweredRequest.reply, AnsweredRequest.expire_time)
    ).where(_KEY)
)
_PRIMARY_KEY = peewee.Tuple(AnsweredRequest.token_id, AnsweredRequest.method, AnsweredRequest.request_id)


class Vanished(DatabaseBusy):
    """The earlier answer was purged between two statements: the attempt is to be made again."""

    reason: ClassVar[str] = "DATABASE_BUSY"


def answer_once(tx: Transaction, fn: Callable[[Transaction], R], terms: Terms[R, M], once: Once[M]) -> M:
    """The stored answer if there is one, else what `fn` does now, its answer stored in the same transaction.

    The key is claimed before `fn` runs, not after: on PostgreSQL a second call with the same id then waits here for
    the first, instead of running into what the first made and reporting a duplicate of its own request.
    """
    key: dict[str, Any] = {"token_id": once.token_id, "method": once.method, "request_id": once.request_id}
    expire_time = tx.now + KEPT_US
    if not tx.run(_CLAIM, body_sha256=once.body_sha256, expire_time=expire_time, **key):
        found = tx.lock(_FIND, **key)
        if found is None:
            raise Vanished
        body_sha256, reply, expired_at = found
        if expired_at > tx.now:
            if body_sha256 != once.body_sha256:
                REQUEST_REPLAYS.labels("reused").inc()
                raise RequestIdReused(once.request_id)
            REQUEST_REPLAYS.labels("replayed").inc()
            return once.decode(reply)
    answer = terms.reply(fn(tx))
    tx.run(_ANSWER, body_sha256=once.body_sha256, reply=once.encode(answer), expire_time=expire_time, **key)
    return answer


def purge_expired(db: Database) -> int:
    """Delete answers older than 24 hours, a thousand a transaction; how many there were. A job for now and then."""
    total = 0
    while True:
        deleted: int = db.write(_purge_some)
        total += deleted
        if deleted < PURGE_ROWS:
            return total


def _purge_some(tx: Transaction) -> int:
    expired = (
        AnsweredRequest.select(AnsweredRequest.token_id, AnsweredRequest.method, AnsweredRequest.request_id)
        .where(AnsweredRequest.expire_time <= tx.now)
        .order_by(AnsweredRequest.expire_time)
        .limit(PURGE_ROWS)
    )
    return tx.execute(AnsweredRequest.delete().where(_PRIMARY_KEY.in_(expired)))
