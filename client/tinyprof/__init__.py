"""tinyprof: profiles tiny language models on edge boards, all the time and across sites."""

__version__ = "0.1.0"
