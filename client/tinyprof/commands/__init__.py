"""The commands of `tinyprof`: one file each, found by its name and imported when used.

A file `NAME.py` holds `command`, a click command; what it needs beyond click it imports when it runs, so that the
list of commands appears at once.
"""
