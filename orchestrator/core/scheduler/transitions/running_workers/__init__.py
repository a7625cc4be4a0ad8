"""Events of running workers: start, preloaded launches, locks, messages, gates."""
