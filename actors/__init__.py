"""Actors: one folder each, with what it can be asked, what it decides and what it does."""
