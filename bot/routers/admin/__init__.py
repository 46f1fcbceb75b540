"""What owners can see and do; for everybody else it is not there."""
