"""`python -m tinyprof`: the same as the command."""

from tinyprof.cli import main

main()
