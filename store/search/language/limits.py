"""How much a query may hold: bounds on what reading it, and running it, may cost."""

from __future__ import annotations

from typing import Final

MAX_QUERY_CHARS: Final = 4096
MAX_DEPTH: Final = 20
"""How deep parentheses and `!` may stand in one another."""

MAX_TERMS: Final = 100
"""Terms of a query; of a list, each value counts."""

MAX_VALUE_CHARS: Final = 1024
"""As long as the longest text that can be found, a file name."""

MAX_VERSION_CHARS: Final = 200
MAX_PATTERN_CHARS: Final = 200
MAX_STARS: Final = 4
"""Wildcards of one value; stars side by side are one. Matching takes time for each."""

MAX_PERIOD_MINUTES: Final = 36_500 * 1440
MIN_COMMIT_PREFIX: Final = 4
"""A shorter text is the whole id of a commit."""
