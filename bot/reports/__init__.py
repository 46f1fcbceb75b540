"""What operators read: pure. Blocks of figures speak the command line's words in every language."""
