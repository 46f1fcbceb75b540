"""Makes one node do what the credentials say."""
