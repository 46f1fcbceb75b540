"""The back-end half: one node behind one port."""
