"""The command line ``orchestrator``: all commands, and their output.

- ``changes``: Commands for a job's changes: diff, merge, land, undo, roll back, discard, clean
- ``command_line``: The table of commands, groups of commands, and the main function
- ``demo``: The command ``demo``: a real run with scripted agents in a separate repository
- ``doctor``: The command ``doctor``: one module for each subject that it checks
- ``follow``: Following a running job in a terminal
- ``jobs``: Commands that start, show, and control jobs
- ``offline``: Reads jobs, logs, and the server's record from files, without a call to the server
- ``output``: Output of commands: errors, exit codes, tables, terminals
- ``plan``: Commands and options around plans: options of jobs, plan files, review, gates
- ``server``: Commands that start and run the server, and parts of its process
- ``setup``: Commands that set up and maintain the product: init, config, keys, agents
- ``worker``: Commands for workers: ``spawn`` and ``lock``, which need no packages, and ``mcp``
"""
