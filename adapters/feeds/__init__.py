"""Ways out for those who watch: server-sent events."""
