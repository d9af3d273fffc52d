"""`release-server serve`: serve until a signal ends it, in this process or in several."""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Sequence
from typing import NoReturn

from server.commands.greeting import greet
from server.processes.leaving import end, leave
from server.processes.signals import RELOADING, Signals
from server.settings import Settings, read_settings
from server.telemetry.audit import start_audit
from server.telemetry.logs import start_logging
from server.telemetry.metrics import serve_metrics

log = logging.getLogger("server.main")


def serve(flags: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT: the exit code.

    Raises SettingWrong, CannotListen, WorkersFailed, CannotOpen, ContractBroken, errors of the registry.
    """
    settings = read_settings(flags)
    start_logging(settings.log_level)
    start_audit(settings.audit)
    return _serve_alone(settings) if settings.workers == 1 else _supervise(settings, flags)


def _supervise(settings: Settings, flags: Sequence[str]) -> int:
    # Here, as below: a supervisor has no gRPC, and whoever serves alone no supervisor.
    from server.processes.figures import registry_of
    from server.processes.supervisor import Supervisor

    supervisor = Supervisor(settings, flags)
    if settings.metrics_listen:
        serve_metrics(settings.metrics_listen, registry_of(supervisor))
    return supervisor.run(lambda address, made: greet(settings, address, made_operator_token=made))


def _serve_alone(settings: Settings) -> NoReturn:
    from server.app import open_server
    from server.exits import EX_SOFTWARE
    from server.memory import keep_freed_blocks

    faulthandler.enable()
    keep_freed_blocks()
    signals = Signals()
    if settings.metrics_listen:
        serve_metrics(settings.metrics_listen)
    server = open_server(settings)
    server.on_dead = lambda: leave(EX_SOFTWARE)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    greet(settings, server.address, made_operator_token=server.made_operator_token)
    log.info("serving", extra={"fields": {"address": server.address, "data": str(settings.data)}})
    while signals.wait() == RELOADING:
        server.reload()
    end(server, grace_seconds=settings.drain_seconds, hurry=signals.came_again)
    leave()
