"""Two results files against each other: which boards, which runs, and whether they differ."""
