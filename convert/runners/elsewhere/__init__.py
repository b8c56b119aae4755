"""Other processors and other runtimes than this process has: each in a process and an environment of its own."""
