"""Supervision with no business in it."""
