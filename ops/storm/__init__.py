"""What `make storm` runs: real processes, real faults, and invariants checked from outside the code under test."""
