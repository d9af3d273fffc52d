"""A worker that serves nothing and does what a test wants: what `RELCTL_FAKE` says, by its number and its life.

`{"1": ["die", "serve"]}` lets worker 1 die at its first start and serve at all others; who is not mentioned serves.
Lives are counted by files in the working folder.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from server.processes.control import Assignment, Failure, Line, Prepared, Word, decoded, encoded

NUMBER = sys.argv[1]


def main() -> int:
    faulthandler.enable()
    life = len(list(Path().glob(f"life-{NUMBER}-*")))
    Path(f"life-{NUMBER}-{life}").write_text(str(os.getpid()))
    lives = json.loads(os.environ.get("RELCTL_FAKE", "{}")).get(NUMBER, ["serve"])
    part = lives[min(life, len(lives) - 1)]
    line = Line(socket.socket(fileno=int(sys.argv[2])))
    if part == "die":
        return 3
    if part == "fail":
        line.say(Word.FAILED, encoded(Failure("RELEASES_X: must be another.", 78)))
        return 78
    if part == "be silent":
        time.sleep(600)
    if part == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=beat, args=(line,), daemon=True).start()
    for word, body in line.hear():
        say(word)
        if (code := answered(line, part, word, body)) is not None:
            return code
    say("gone")
    return 0


def answered(line: Line, part: str, word: Word, body: bytes) -> int | None:
    """Do what the supervisor says; the exit code, if this is the end."""
    if word == Word.START:
        assignment = decoded(Assignment, body)
        if assignment.prepare and part == "die preparing":
            return 4
        say(f"START {assignment.prepare}")
        line.say(Word.PREPARED, encoded(Prepared(made_operator_token=assignment.prepare)))
        line.say(Word.READY)
        if part == "serve a while":
            time.sleep(1.5)
            return 5
        return 0 if part == "leave" else None
    if word == Word.MEASURE:
        line.say(Word.METRICS, f"measured {NUMBER}".encode() * 10_000)
    deaf_to = {"ignore": (Word.DRAIN, Word.HURRY), "hold": (Word.DRAIN,)}.get(part, ())
    return 0 if word in (Word.DRAIN, Word.HURRY) and word not in deaf_to else None


def beat(line: Line) -> None:
    while True:
        time.sleep(0.1)
        line.say(Word.BEAT)


def say(what: object) -> None:
    os.write(1, json.dumps({"worker": int(NUMBER), "heard": str(getattr(what, "name", what))}).encode() + b"\n")


if __name__ == "__main__":
    raise SystemExit(main())
