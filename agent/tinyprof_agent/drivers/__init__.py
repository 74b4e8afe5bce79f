"""Drivers: one folder a kind; each turns a board into the same few observations."""
