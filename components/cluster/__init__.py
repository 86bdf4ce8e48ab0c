"""Where jobs run: the resources of this machine, and Ray."""
