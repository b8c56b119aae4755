"""How the server is brought to a host, and the check that this works."""
