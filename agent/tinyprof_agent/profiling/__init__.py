"""A run on a board: what is measured, how it is checked, and what it is worth."""
