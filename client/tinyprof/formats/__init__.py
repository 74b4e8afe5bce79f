"""Results in the forms that others read. Pure: from results to text or plain values."""
