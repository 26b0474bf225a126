"""Data frames: what their cells hold, and a pipeline that takes them as they come."""
