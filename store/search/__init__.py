"""Finding releases: the search language, what a query means to the database, and the orders of lists."""
