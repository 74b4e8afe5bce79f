"""Benchmarks: runs of a suite on several boards side by side, and the results file that they leave."""
