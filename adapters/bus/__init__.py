"""What carries messages: the log in PostgreSQL, or memory for tests."""
