"""From the run to the bundle: the only package that meets both worlds, one framework a process."""
