"""Ways in: HTTP and the hot folder."""
