"""The server that the outside reaches: webhooks and health."""
