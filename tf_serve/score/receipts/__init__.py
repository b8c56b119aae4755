"""Receipts of a run: which model read which film, and what it said, held to one root."""
