"""Tells people what changed, from rows that wait in the outbox."""
