"""The thread that serves all waiting connections, with its timers and writers."""
