"""The collector: it removes duplicates, accounts for every record and writes time series."""
