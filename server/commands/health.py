"""`release-server health`: what container runtimes and people ask a server that runs here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.commands.asking import channel_to
from server.settings import Settings, own_flags, parse_flags, settings_from

SICK: Final = 1
"""The exit code when the server does not serve, or does not answer."""

DEFAULT_SECONDS: Final = 5.0


def health(flags: Sequence[str]) -> tuple[list[str], int]:
    """Ask the server that runs with these settings: SERVING and 0, or what is wrong and 1. Raises SettingWrong."""
    own = own_flags()
    own.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=DEFAULT_SECONDS,
        help=f"How long to wait for an answer. [{DEFAULT_SECONDS:g}]",
    )
    named = parse_flags(flags, program="release-server health", own=own)
    settings = settings_from(named)
    status = status_of(settings, seconds=named.timeout)
    return [status], 0 if status == "SERVING" else SICK


def status_of(settings: Settings, *, seconds: float) -> str:
    """What the server says of itself, such as SERVING, or why it said nothing."""
    try:
        with channel_to(settings) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
    except grpc.RpcError as error:
        return f"{settings.listen} does not answer: {error.code().name}"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("must be more than 0 seconds, and at most 3600")
    return seconds
