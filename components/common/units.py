"""Durations and sizes of files in words, for terminals."""


def duration(seconds: float) -> str:
    """Return a rough duration: 40 seconds, 3.5 minutes, 2.1 hours."""
    if seconds < 99.5:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 5970 else f"{seconds / 3600:.1f} hours"


def size(count: float) -> str:
    """Return bytes in readable units: 512 B, 3.4 MB."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"
