"""The long form of the bad day, on PostgreSQL; ``make soak`` runs it, ``make test`` does not."""
