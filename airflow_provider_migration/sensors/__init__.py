"""Wait for a migration: one sensor per service."""
