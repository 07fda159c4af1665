"""The wait for a target: the decision, and what of it people see. Without a clock and without I/O."""
