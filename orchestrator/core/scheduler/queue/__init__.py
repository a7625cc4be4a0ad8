"""Order of starts, and reasons to wait: slots, holds, throttles."""
