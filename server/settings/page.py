"""The page of all settings, made of the table that reads them."""

from __future__ import annotations

from server.settings.reading import TABLE
from server.settings.setting import PREFIX


def markdown() -> str:
    """The page of all settings, `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Every setting is a variable, and a flag of `release-server serve`; the flag wins. A wrong value, and a",
        f"variable that begins with `{PREFIX}` and is no setting, is refused at start in one line, with exit code 78.",
        "This page is printed by `release-server settings`.",
        "",
        "| variable | flag | default | value | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for setting in TABLE:
        flag = f"`{setting.flag}`" if setting.flag else "none: secret"
        default = f"`{setting.default}`" if setting.default else "empty"
        lines.append(f"| `{setting.variable}` | {flag} | {default} | {setting.unit} | {setting.doc} |")
    return "\n".join(lines) + "\n"
