"""Where processes run: spawner, shims and the server's side of them.

``spawner``, ``shim`` and all they import run under ``python -S -E`` and are forked once per
live worker: they use the standard library only, and of it only what is cheap to import.
"""
