"""Why a backup cannot be taken or restored."""

from __future__ import annotations

from store.database.failures import CannotOpen


class BackupRefused(CannotOpen):
    """Nothing was changed; the message is one line for the operator."""
