"""The shell around the core: the door and the turn."""
