"""Why the program ends: one line for the operator, and an exit code of sysexits.h."""

from __future__ import annotations

from typing import Final

from server.edge.methods import ContractBroken
from server.settings import SettingWrong
from server.transport import CannotListen
from store.database import CannotOpen
from store.errors import InvalidField, RegistryError

# A setting is wrong; something that is needed is not there; the program is.
EX_CONFIG: Final = 78
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70


class WorkersFailed(Exception):
    """Several processes were to serve, and one cannot, for a reason that the operator must mend: its line and code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


TOLD: Final = (SettingWrong, CannotListen, CannotOpen, RegistryError, WorkersFailed, ContractBroken, OSError)
"""What a line tells; what else is raised is a bug, and its traceback is what helps."""


def told(error: BaseException) -> tuple[str, int]:
    """The line and the exit code of one of TOLD."""
    match error:
        case SettingWrong():
            return str(error), EX_CONFIG
        case CannotListen() | CannotOpen():
            return str(error), EX_UNAVAILABLE
        case InvalidField():  # the operator's token is the one field that a start may refuse
            return error.message, EX_CONFIG
        case RegistryError():
            return error.message, EX_UNAVAILABLE
        case WorkersFailed():
            return str(error), error.code
        case OSError():
            return f"{error.filename or 'The server'}: {error.strerror}.", EX_UNAVAILABLE
        case _:
            return str(error), EX_SOFTWARE
