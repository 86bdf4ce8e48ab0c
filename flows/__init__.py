"""Scheduling, ordering, caching and notification: Prefect and the command line. Never imports torch."""
