"""The README's tour as a reader pastes it: the lines of its sh blocks, in order."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:50051"
"""Where the README's server listens; tests put their own in its place."""


def tour() -> list[str]:
    """Every line of the section's blocks, from the second terminal's first line to the last grpcurl call."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## A tour of five minutes$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section, "README.md has no tour"
    blocks = re.findall(r"^```sh$\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert not [line for line in lines if line.endswith("\\") or line.startswith(("make ", " "))], (
        "one line, one command"
    )
    return lines
