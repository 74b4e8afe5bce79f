"""What of the accounting must survive a restart."""
