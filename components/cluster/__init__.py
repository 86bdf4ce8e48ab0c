"""The resources of this machine, and Ray, which runs the jobs."""
