"""Alerts: what turns critical or regresses is told to a webhook, once, and so is its end."""
