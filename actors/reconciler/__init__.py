"""Keeps comparing nodes with the database, and mends both ways."""
