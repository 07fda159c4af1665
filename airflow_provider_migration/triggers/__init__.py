"""Wait for a migration on the triggerer: one trigger for every service."""
