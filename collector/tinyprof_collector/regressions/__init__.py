"""Levels that change: each metric of each board's like runs is watched for a change that is more than noise."""
