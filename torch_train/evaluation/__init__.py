"""Judging a recipe on films that no network of it learned from."""
