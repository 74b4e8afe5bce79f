"""The InfluxDB store: lines, answers and blame are pure; posting and reading are thin."""
