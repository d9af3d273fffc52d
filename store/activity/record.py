"""Activities: who did what, when, to which project. Written in the transaction of what they tell of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from store.access import Access
from store.activity.models import Activity
from store.database import Statement, Transaction, holes_for, new_id

SUBJECT_CHARACTERS: Final = 64
"""How much of a version (or whatever it is about) an activity keeps as its subject."""

_INSERT = Statement(
    Activity.insert(
        holes_for(
            Activity.id,
            Activity.organization_id,
            Activity.project_id,
            Activity.kind,
            Activity.subject,
            Activity.data,
            Activity.token_id,
            Activity.certificate,
            Activity.caller,
            Activity.happen_time,
        )
    )
)


@dataclass(frozen=True, slots=True)
class Happening:
    """What an activity tells: of a project, or of the organization where project_id is None. `subject` is kept to its
    first 64 characters; `data` is a JSON object; `happen_time` is in microseconds."""

    organization_id: bytes
    project_id: bytes | None
    kind: str
    subject: str
    data: Mapping[str, Any]
    happen_time: int


def record_activity(
    tx: Transaction,
    access: Access,
    *,
    organization_id: bytes,
    project_id: bytes | None,
    kind: str,
    subject: str,
    data: Mapping[str, Any],
    happen_time: int,
) -> None:
    """Record one activity of a project, or of the organization where project_id is None.

    `kind` is a word such as `release_created`; of `subject` the first 64 characters are kept; `data` is a JSON object;
    `happen_time` is in microseconds. Who did it is the token, or the certificate, of `access`, and the caller that it
    named.
    """
    record_activities(
        tx,
        access,
        organization_id=organization_id,
        project_ids=(project_id,),
        kind=kind,
        subject=subject,
        data=data,
        happen_time=happen_time,
    )


def record_activities(
    tx: Transaction,
    access: Access,
    *,
    organization_id: bytes,
    project_ids: Sequence[bytes | None],
    kind: str,
    subject: str,
    data: Mapping[str, Any],
    happen_time: int,
) -> None:
    """Record the same activity for each of the projects; for none of them, none."""
    record_happenings(
        tx,
        access,
        [Happening(organization_id, project_id, kind, subject, data, happen_time) for project_id in project_ids],
    )


def record_happenings(tx: Transaction, access: Access, happenings: Iterable[Happening]) -> None:
    """Record an activity for each of these, in their order, all in one statement."""
    tx.run_many(
        _INSERT,
        [
            {
                "id": new_id(),
                "organization_id": happening.organization_id,
                "project_id": happening.project_id,
                "kind": happening.kind,
                "subject": happening.subject[:SUBJECT_CHARACTERS],
                "data": happening.data,
                "token_id": access.token_id,
                "certificate": access.certificate,
                "caller": access.caller,
                "happen_time": happening.happen_time,
            }
            for happening in happenings
        ],
    )
