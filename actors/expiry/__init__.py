"""Ends access whose time is over."""
