"""The scheduler: a pure state machine. Events go in, and commands come out.

The interface is the class ``scheduler.Scheduler``. Each event is a method. ``turn`` returns
commands (``core.model.scheduler_commands``), ``view`` answers queries, and ``leases`` has the
events and queries about leases. The module ``manual_changes`` applies a person's changes to a
job tree. Other packages do not import these folders:

- ``queue``: Order, slots, holds, and placement of the workers that wait for a start
- ``state``: The scheduler's state in memory: job trees, agents' accounts, and the unit of work
- ``transitions``: One module for each kind of event that changes state
"""
