"""One small file a benchmark: its files, how they are read, its official score.

`BENCHMARKS` in a file is all it takes.
"""
