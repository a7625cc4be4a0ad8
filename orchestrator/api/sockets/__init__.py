"""Connections that hold no thread: the loop that waits for them, its timers, its writers."""
