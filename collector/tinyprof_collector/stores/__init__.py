"""Where records end up: each store is one file behind `check, write, read, count`."""
