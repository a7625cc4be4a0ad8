"""Processes of workers: spawner, shims and the server's side of them.

``spawner``, ``shim`` and all they import run under ``python -S -E`` and are forked once per
live worker: they use the standard library only, and of it only what is cheap to import.

- ``containment``: Containment of a worker's processes: one module for each mode
- ``exit_record``: The record of an attempt's end: its lock, its file, its proof
- ``local``: The server's side: the launcher of this machine
- ``process``: Shared modules: processes, limits, framing. Standard library only
- ``shim``: The process that runs one attempt. Standard library only
- ``spawner``: The processes that fork shims and outlive the server. Standard library only
"""
