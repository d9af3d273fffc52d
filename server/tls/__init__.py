"""Certificates: the server's, read anew without ending a connection, and those of its clients."""
