"""`atelier doctor`."""
