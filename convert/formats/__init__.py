"""From one format to the next: each step runs in a process of its own that loads one framework."""
