"""Values that the programs read once at start. Nothing here does the work they describe."""
