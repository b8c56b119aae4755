"""What every stage agrees on, in stdlib, numpy and Pillow, and nothing else."""

__version__ = "0.1.0"  # pyproject.toml reads it here
