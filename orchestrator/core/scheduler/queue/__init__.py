"""Who may start, and in which order: slots, holds, throttles."""
