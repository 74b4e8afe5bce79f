"""The dashboard: the health of the whole fleet in a terminal."""
