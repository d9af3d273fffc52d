"""`release-server token create`: an operator's token, made beside the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.app import open_settings_database
from server.commands.asking import is_in_use
from server.settings import SettingWrong, own_flags, parse_flags, settings_from
from server.telemetry.audit import audited_command
from server.telemetry.logs import start_logging
from store.access.operators import add_operator_token
from store.database import CannotOpen

# As every display name: the table of limits in annotations.proto.
MAX_NAME_CHARS: Final = 200


def create_token(flags: Sequence[str]) -> int:
    """Make one more operator's token and print its secret: the exit code. Raises SettingWrong, CannotOpen."""
    own = own_flags()
    default = "made by release-server token create"
    own.add_argument("--name", metavar="TEXT", default=default, help=f"What the token is called. [{default}]")
    named = parse_flags(flags, program="release-server token create", own=own)
    settings = settings_from(named)
    if not 0 < len(named.name) <= MAX_NAME_CHARS or not named.name.isprintable():
        raise SettingWrong(f"--name must have 1 to {MAX_NAME_CHARS} characters, none of them a control character.")
    start_logging("error")
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        db = open_settings_database(settings)
    except CannotOpen as error:
        if is_in_use(settings, error):
            text = (
                "A server is running on this data folder and has the database to itself: use `relctl token create`, "
                "or, without any token, stop it first."
            )
            raise CannotOpen(text) from None
        raise
    try:
        with audited_command(settings.audit, "token create") as told:
            told["display_name"] = named.name
            db.migrate()
            secret = add_operator_token(db, named.name)
        print(secret)
    finally:
        db.close()
    return 0
