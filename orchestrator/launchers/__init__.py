"""Processes of workers: the spawner, the shims, and the server's side of both.

``spawner``, ``shim``, and every module that they import run under ``python -S -E``. Each live
worker has a separate forked process with these modules. Therefore these modules import only modules
of the standard library that load fast.

- ``cluster``: Workers on several machines, on the server's side and in the process of a node
- ``containment``: Containment of a worker's processes, with one module for each mode
- ``exit_record``: The record of an attempt's end, with its lock and the proof of its origin
- ``local``: The launcher of this machine, on the server's side
- ``process``: Shared modules for processes, limits, and messages. Standard library only
- ``shim``: The process that runs one attempt. Standard library only
- ``spawner``: The processes that fork shims and outlive the server. Standard library only
"""
