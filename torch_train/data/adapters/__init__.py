"""One module a known layout; each reads a folder into a `FilmIndex`, or says that it is not its kind."""
