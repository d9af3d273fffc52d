"""One servicer a service: parse names, call the store once, map the answer."""
