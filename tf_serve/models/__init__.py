"""Bundles in a folder: found, opened, chosen, loaded and unloaded."""
