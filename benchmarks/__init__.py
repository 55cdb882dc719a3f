"""Speed, memory and size compared with other libraries: ``python -m benchmarks --help``."""
