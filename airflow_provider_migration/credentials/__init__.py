"""Temporary credentials: where they come from, how they are refreshed, and which were refused."""
