"""One module a group of commands; each parses, builds one frozen config, calls one function."""
