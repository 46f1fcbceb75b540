"""The terminal side of operations: asks a running back-end, and draws what it answers."""
