"""Backups: the database as it was at one moment, and behind it the packs that its files lie in.

A backup is a folder:

    manifest.json          what it is, and who made it; it is written last
    database.sqlite        the database: an SQLite file, or what pg_dump wrote (database.dump), or the tables as
                           PostgreSQL's COPY gives them (database.copy)
    packs.txt              the packs, a line each: id and size
    packs/<xx>/<id>        their bytes, spread as in a blob folder

The database comes first: packs are never changed once rows name them, and stay for the grace time after the last row
went. So every pack that the copied database needs is still there when it is its turn, whatever is uploaded, deleted and
collected meanwhile. See behaviour.md, Backups.
"""
