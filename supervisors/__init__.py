"""What keeps actors alive, what wires them to the real world, and the commands that start it."""
