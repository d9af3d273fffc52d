"""Bytes: contents as ordered chunks, chunks in packs."""
