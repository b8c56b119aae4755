"""`tbconv predict | serve`: films in, answers out."""
