"""Runs that clients have asked for, and what the caches answered instead: decisions; their screen draws them."""
