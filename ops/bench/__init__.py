"""What `make bench` runs: each figure beside its limit or peer, measured in the same run."""
