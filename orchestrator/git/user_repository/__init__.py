"""The user's own checkout and refs. They are only read, except for entries in ``info/exclude``."""
