"""The Store and Blobs ports, and the database's migrations."""
