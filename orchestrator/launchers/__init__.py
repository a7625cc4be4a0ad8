"""Starts, watches, and ends the processes of workers.

The *spawner* is a small process that forks shims. A *shim* is the parent process of a worker.

The packages ``spawner`` and ``shim``, and every module that they import, run under
``python -S -E``, which is Python without installed packages. These modules are in the memory of the
shim of each running worker. Therefore they import only small, fast modules of the standard library.

- ``cluster``: Workers on several machines: the server's part, and the process of a node
- ``containment``: Containment of a worker's processes, with one module for each mode
- ``exit_record``: The lock and the exit record of an attempt, and the check for forged records
- ``local``: The server's launcher for workers on this machine
- ``process``: Shared modules for processes, limits, and messages. Standard library only
- ``shim``: The process that runs attempts, one at a time. Standard library only
- ``spawner``: The processes that fork shims and outlive the server. Standard library only
"""
