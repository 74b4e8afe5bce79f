"""A board in software: the board's side of the link on a pseudo-terminal, with a real model behind it.

It stands in for hardware in tests and in the demo. What it measures is the machine that it runs on.
"""
