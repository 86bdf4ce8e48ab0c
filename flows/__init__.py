"""When, in what order, was it done, who is told: Prefect and the command line. Never imports torch."""
