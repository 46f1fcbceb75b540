"""Where people are put, and how they leave nodes that go."""
