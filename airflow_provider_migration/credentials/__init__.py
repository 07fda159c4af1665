"""Temporary credentials: their sources, their refresh, and a cache of refused ones."""
