"""Settings of the data: the folder, the database, and the token that opens an empty one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from server.settings.parsing import choice, secret
from server.settings.setting import Setting
from store.database.opening import is_well_formed


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not text or (path.exists() and not path.is_dir()):
        raise ValueError("must be a folder")
    return path


def _database(text: str) -> str:
    if text and not is_well_formed(text):
        raise ValueError(
            "must be sqlite:///absolute/path.db or postgresql://user:password@host/name, in which other signs than "
            "letters and digits are written as %25 is for %"
        )
    return text


SETTINGS: Final = (
    Setting(
        "data",
        "${XDG_DATA_HOME:-~/.local/share}/release-registry",
        "folder",
        "Where files, the SQLite database and the operator's token are kept. Made when it does not exist.",
        _folder,
    ),
    Setting(
        "database",
        "",
        "URL",
        "`sqlite:///absolute/path.db` or `postgresql://user:password@host/name` (15 or newer). Empty: `registry.db` in "
        "the data folder. A URL with a password is better set by the variable, which other users cannot read.",
        _database,
    ),
    Setting(
        "pooler",
        "session",
        "session or transaction",
        "`transaction` when PostgreSQL is reached through a pooler in transaction mode, such as pgbouncer: statements "
        "are then not prepared on the server.",
        choice("session", "transaction"),
    ),
    Setting(
        "bootstrap_token",
        "",
        "20 to 200 visible ASCII characters",
        "The secret of the operator's first token, used when the database has none yet. Empty: one is made and kept in "
        "`operator-token` in the data folder, readable by its owner only.",
        secret,
        is_secret=True,
    ),
)
