"""One reader a format: the values of every layer, each in a process of its own."""
