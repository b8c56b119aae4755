"""The faults, one module a level."""
