"""Starts, watches, and ends the processes of workers.

The *spawner* is a small process that forks shims. A *shim* is the parent process of a worker.

The packages ``spawner`` and ``shim``, and every module that they import, run under
``python -S -E``. Each running worker has its own forked process with these modules. Therefore these
modules import only modules of the standard library that load fast.

- ``cluster``: Workers on several machines: the server's part, and the process of a node
- ``containment``: Containment of a worker's processes, with one module for each mode
- ``exit_record``: The lock and the exit record of an attempt, and the check for forged records
- ``local``: The server's launcher for workers on this machine
- ``process``: Shared modules for processes, limits, and messages. Standard library only
- ``shim``: The process that runs attempts, one at a time. Standard library only
- ``spawner``: The processes that fork shims and outlive the server. Standard library only
"""
