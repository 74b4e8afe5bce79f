"""Results as rows, for whoever loads them elsewhere: `rows` is pure, `writers` and `output_file` are thin."""
