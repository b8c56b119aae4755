"""Seeded faults: the project's own checks are run on conversions that are known to be wrong, and scored."""
