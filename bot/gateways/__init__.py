"""Ways to pay: what Telegram is told, and how an order is recognised when money comes."""
