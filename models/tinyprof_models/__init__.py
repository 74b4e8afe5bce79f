"""The reference model, its golden outputs and the numpy reference engine."""
