"""Version 1 of the contract: messages in ``*_pb2``, stubs and servicers in ``*_pb2_grpc``."""
