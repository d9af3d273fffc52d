"""Backups that are taken while files come, go and are collected restore to a sound state: every file whose upload was
answered before the backup began, and whose deletion was not asked for before it ended, is in it, byte for byte.

Three rounds on each database with each place of bytes; `make drill-backup` runs twenty.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.backup.installation import Installations, check
from tests.backup.load import Load
from tests.rpc.sending import download

ROUNDS = int(os.environ.get("BACKUP_ROUNDS", "3"))
SEED = int(os.environ.get("BACKUP_SEED", "1"))

GRACE = 5.0
"""Longer than a backup of so little takes, and short enough that the collector has something to do meanwhile."""


def test_a_backup_under_load_restores_to_a_sound_state(installations: Installations, tmp_path: Path) -> None:
    origin = installations.make("origin")
    previous: Path | None = None
    expected: list[tuple[Path, dict[str, bytes]]] = []
    linked = 0
    with origin.serving() as server:
        server.make_organization(projects=["web"])
        server.make_release("organizations/acme", "app@1.0.0", "web")
        load = Load(server, seed=SEED, grace_seconds=GRACE)
        with load.running():
            for number in range(1, ROUNDS + 1):
                load.wait_for(uploads=25 * number, deletions=5 * number, passes=2 * number, collected_chunks=number)
                before = load.lasting()
                backup = tmp_path / f"backup-{number}"
                taken = origin.back_up(server, backup, previous=previous)
                after = load.lasting()
                assert taken.manifest.missing_packs == ()
                assert taken.took_seconds < GRACE, "the machine is too slow to tell"
                expected.append((backup, {name: content for name, content in before.items() if name in after}))
                linked += taken.linked_count
                previous = backup
    for number, (backup, files) in enumerate(expected, 1):
        assert len(files) > 5
        restored = installations.make(f"restored-{number}")
        restored.restore(backup)
        with restored.serving() as server:
            checked = check(server)
            assert (checked.findings, checked.unknown_packs) == ([], 0)
            for name, content in files.items():
                assert download(server, name)[1] == content
    assert linked > 0
    print(f"backups under load: {ROUNDS} rounds, seed {SEED}, {dict(load.counts)}, {linked} packs linked")
