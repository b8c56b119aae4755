"""What every stage agrees on, in stdlib, numpy and Pillow, and nothing else."""
