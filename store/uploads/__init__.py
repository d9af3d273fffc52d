"""Uploads: files on their way in, one stream after another, until they are whole."""
