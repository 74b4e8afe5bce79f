"""What is known before measuring: boards, suites, model files and what fits."""
