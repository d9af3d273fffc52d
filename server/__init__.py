"""The gRPC edge: settings, composition, the interceptor of all calls, and one servicer a service."""

import os

# grpc's own lines are no JSON, and what matters of them reaches us as errors: they stay off standard error unless its
# operator asks for them by its variable. Here, because grpc reads it once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251 - a variable of grpc, not a setting of ours
