"""The commands, a folder a kind of work; each parses, builds one frozen config, calls one function, prints."""
