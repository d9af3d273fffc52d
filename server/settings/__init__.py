"""Settings: one table of what can be set, and the only reader of the environment.

The table makes the flags, their help, `docs/settings.md` and the checks, so they cannot disagree. A wrong setting
raises SettingWrong, one line for the operator. A module holds the settings of one topic: network, data, files, work.
"""

from __future__ import annotations

from server.settings.files import DEFAULT_MAX_FILE_BYTES
from server.settings.network import is_loopback
from server.settings.page import markdown
from server.settings.reading import TABLE, default_data_folder, own_flags, parse_flags, read_settings, settings_from
from server.settings.setting import PREFIX, Setting, SettingWrong
from server.settings.values import Settings

__all__ = [
    "DEFAULT_MAX_FILE_BYTES",
    "PREFIX",
    "TABLE",
    "Setting",
    "SettingWrong",
    "Settings",
    "default_data_folder",
    "is_loopback",
    "markdown",
    "own_flags",
    "parse_flags",
    "read_settings",
    "settings_from",
]
