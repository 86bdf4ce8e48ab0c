"""Parts that three or more families share."""
