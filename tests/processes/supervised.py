"""A program that supervises with the patience, and the workers, of a test: `supervised.py WORKER PATIENCE [flags]`.

WORKER is a Python file that is started as a worker, PATIENCE the supervisor's as JSON. What it knows at its end is
printed as a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading

from server.exits import TOLD, told
from server.processes.child import Patience
from server.processes.supervisor import Supervisor
from server.settings import read_settings
from server.telemetry.logs import start_logging


def main() -> int:
    worker, patience, *flags = sys.argv[1:]
    settings = read_settings(flags)
    start_logging(settings.log_level)
    command = (sys.executable, worker)
    supervisor = Supervisor(settings, flags, command=command, patience=Patience(**json.loads(patience)))
    measured: dict[int, int] = {}

    def on_ready(address: str, made: bool) -> None:
        def measure() -> None:
            for number, text in supervisor.expositions(seconds=30.0).items():
                measured[number] = text.count(f"measured {number}".encode())
            say(ready=address, made_operator_token=made, measured=measured)

        threading.Thread(target=measure).start()

    try:
        code = supervisor.run(on_ready)
    except TOLD as error:
        text, code = told(error)
        say(failed=text)
    restarts = {child.number: child.restarts for child in supervisor.children}
    say(restarts=restarts, running=supervisor.running, grpc="grpc" in sys.modules)
    return code


def say(**facts: object) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")  # in one go: others write into the file as well


if __name__ == "__main__":
    raise SystemExit(main())
