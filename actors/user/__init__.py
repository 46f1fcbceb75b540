"""All that happens to one user passes here, one at a time."""
