"""What operators see and change while the program runs."""
