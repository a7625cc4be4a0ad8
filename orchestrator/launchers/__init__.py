"""Processes of workers: the spawner, the shims, and the server's side of both.

``spawner``, ``shim``, and every module that they import run under ``python -S -E``, and are forked
once per live worker. Therefore they import only modules of the standard library that load fast.

- ``cluster``: Workers on several machines: the server's side, and the process of a node
- ``containment``: Containment of a worker's processes: one module for each mode
- ``exit_record``: The record of an attempt's end: its lock, its file, its proof
- ``local``: The server's side: the launcher of this machine
- ``process``: Shared modules: processes, limits, framing. Standard library only
- ``shim``: The process that runs one attempt. Standard library only
- ``spawner``: The processes that fork shims and outlive the server. Standard library only
"""
