"""Several processes that serve together on one address: a supervisor and its workers.

The supervisor serves nothing. It keeps the address, starts the workers, hands on what it is asked for by signals, and
replaces workers that end or no longer answer. See docs/decisions/0022.
"""
