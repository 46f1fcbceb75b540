"""What a buyer can do, one module a topic."""
