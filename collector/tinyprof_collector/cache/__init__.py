"""The cache: results that answer an equal request without a run."""
