"""The same inputs through every runtime, and how far the answers lie apart."""
