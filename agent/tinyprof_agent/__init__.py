"""The agent: it sits next to the boards, runs profiling jobs and owes every record to the database."""
