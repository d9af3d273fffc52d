"""Stubs of the release registry's contract, generated from the protos beside this file."""
