"""Speed, memory and size beside the peers: ``python -m benchmarks --help``."""
