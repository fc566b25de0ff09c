"""The Printer port."""
