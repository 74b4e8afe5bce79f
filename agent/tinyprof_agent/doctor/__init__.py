"""Looks at what an agent needs and says what is wrong and what to do: `findings` are data, each check a file."""
