"""The JSON that crosses a process or a stage."""
