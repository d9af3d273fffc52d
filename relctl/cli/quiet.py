"""Keeps grpc's own lines off stderr, unless its variable asks for them: what matters of them stands in our one line.

Has to be imported before grpc, which reads its variables once.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
