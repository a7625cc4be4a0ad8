"""HTTP calls with a key, for programs that must start fast: only the standard library, no proxy."""
