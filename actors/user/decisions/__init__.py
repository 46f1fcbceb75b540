"""Pure: what a user's rows, a message and the database's clock lead to."""
