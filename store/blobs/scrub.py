"""The scrub: reads and verifies what is stored, a little every hour, all of it in thirty days.

Packs are taken by their ids, which are spread evenly: every hour those of one share. Whose turn it is stands in the
database, so a restart goes on where it was, and several servers do not do the same twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from store.blobs.check import Checked, check_pack
from store.blobs.models import DELETING
from store.blobs.packs import PackStore
from store.blobs.unused import packs_in_use
from store.database import Database
from store.leases import Job, next_turn, turn_done
from store.metrics import SCRUBBED_BYTES, SCRUBBED_CHUNKS

log = logging.getLogger(__name__)

SHARES: Final = 30 * 24
EVERY_US: Final = 3600 * 1_000_000
BYTES_PER_SECOND: Final = 64 * 2**20
"""So fast at most, to leave the disk to others."""

_GLANCE_SECONDS: Final = 0.25


def scrub(
    database: Database,
    packs: PackStore,
    *,
    stopped: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Verifies the next share when its hour has come; how many chunks were damaged.

    A damaged chunk counts as missing from then on: its next upload stores it anew. Raises BlobsDown.
    """
    turn: int | None = database.write(partial(next_turn, job=Job.SCRUB, every_us=EVERY_US))
    if turn is None:
        return 0
    checked = Checked(where="scrub")
    for pack in packs_in_use(database):
        if stopped():
            return checked.damaged
        if pack.state != DELETING and int.from_bytes(pack.id[-4:]) % SHARES == turn % SHARES:
            before, chunks_before = checked.bytes, checked.chunks
            # A pack that is gone may be a disk that is: an operator says so, by a check that repairs.
            check_pack(database, packs, pack, checked, repair=True, missing_too=False, stopped=stopped)
            SCRUBBED_BYTES.inc(checked.bytes - before)
            SCRUBBED_CHUNKS.inc(checked.chunks - chunks_before)
            _pause((checked.bytes - before) / BYTES_PER_SECOND, stopped, sleep)
    database.write(partial(turn_done, job=Job.SCRUB, turn=turn))
    for text in checked.findings:
        log.error("the scrub found: %s", text)
    return checked.damaged


def _pause(seconds: float, stopped: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Waits so long, or until it is stopped."""
    while seconds > 0 and not stopped():
        sleep(min(seconds, _GLANCE_SECONDS))
        seconds -= _GLANCE_SECONDS
