"""Updates in, messages to actors out: handlers decide nothing."""
