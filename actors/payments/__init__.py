"""Finds money that pushes lost, and sends back what must go back."""
