"""Reading the settings from flags and variables: the only reader of the environment."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from server.settings import data, files, limits, network, processes, quotas, tls, watching, work
from server.settings.setting import PREFIX, SettingWrong
from server.settings.values import Settings

TABLE: Final = (
    *network.SETTINGS,
    *tls.SETTINGS,
    *data.SETTINGS,
    *files.SETTINGS,
    *quotas.SETTINGS,
    *limits.SETTINGS,
    *work.SETTINGS,
    *watching.SETTINGS,
    *processes.SETTINGS,
)

_MAY_HOLD_SECRETS: Final = frozenset({"database", "s3_endpoint"})  # as user:password@host


def read_settings(
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    program: str = "release-server serve",
) -> Settings:
    """The settings of this process: flags before variables before defaults; `environment` is os.environ when None.

    Raises SettingWrong. `--help` ends the process with 0, as argparse does.
    """
    return settings_from(parse_flags(arguments, program=program), environment)


def parse_flags(
    arguments: Sequence[str], *, program: str, own: argparse.ArgumentParser | None = None
) -> argparse.Namespace:
    """The flags of a command, those of settings and its `own`, which its help tells first. Raises SettingWrong."""
    return _parser(program, own).parse_args(list(arguments))


def own_flags() -> argparse.ArgumentParser:
    """A parser to add a command's own flags to, for `parse_flags`."""
    return argparse.ArgumentParser(add_help=False, allow_abbrev=False)


def settings_from(parsed: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of a command with these flags. Raises SettingWrong."""
    found = os.environ if environment is None else environment
    _refuse_unknown(found)
    flags = vars(parsed)
    values: dict[str, Any] = {}
    said: dict[str, str] = {}
    for setting in TABLE:
        flag = flags.get(setting.name)
        text = flag if flag is not None else found.get(setting.variable)
        where = setting.variable if flag is None else str(setting.flag)
        if text is not None:
            said[setting.name] = where
        else:
            text = str(default_data_folder(found)) if setting.name == "data" else setting.default
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            shown = "" if setting.is_secret or setting.name in _MAY_HOLD_SECRETS else f"={text!r}"
            raise SettingWrong(f"{where}{shown}: {error}.") from None
    if not values["database"]:
        values["database"] = f"sqlite://{values['data']}/registry.db"
    if values["workers"] == processes.AUTO:
        values["workers"] = processes.fitting_number(values["database"])
    settings = Settings(**values)
    files.check_bucket(settings)
    limits.check_slots(settings)
    work.check_days(settings)
    watching.check_tracing(settings)
    processes.check_workers(settings, said)
    tls.check_encryption(settings, said)
    return settings


def default_data_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where data is kept when nothing is said: `release-registry` in the user's folder for data."""
    # An XDG folder that is not absolute counts as not set: https://specifications.freedesktop.org/basedir-spec/latest/
    parent = (os.environ if environment is None else environment).get("XDG_DATA_HOME", "")
    return (Path(parent) if parent.startswith("/") else Path("~/.local/share").expanduser()) / "release-registry"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise SettingWrong(f"{message}. `{self.prog} --help` tells the flags.")


def _parser(program: str, own: argparse.ArgumentParser | None) -> argparse.ArgumentParser:
    secrets = ", ".join(setting.variable for setting in TABLE if setting.is_secret)
    parser = _Parser(
        prog=program,
        parents=[] if own is None else [own],
        description="Every flag can be set as a variable, too: --tls-key as RELEASES_TLS_KEY.",
        epilog=f"Set only as a variable: {secrets}. docs/settings.md tells them all.",
        allow_abbrev=False,
    )
    for setting in TABLE:
        if setting.flag:
            default = setting.default or "empty"
            text = f"{setting.doc} [{setting.unit}; {default}]".replace("%", "%%")
            parser.add_argument(setting.flag, dest=setting.name, metavar="VALUE", help=text)
    return parser


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = [setting.name.upper() for setting in TABLE]
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX) not in known:
            close = difflib.get_close_matches(variable.removeprefix(PREFIX), known, 1)
            hint = f"Did you mean {PREFIX}{close[0]}?" if close else "`release-server settings` tells them all."
            raise SettingWrong(f"{variable} is no setting. {hint}")
