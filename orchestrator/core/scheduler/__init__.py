"""The pure state machine: events in, commands out.

The interface is ``scheduler``: its methods are events, ``turn`` returns commands
(``core.model.scheduler_commands``), ``view`` answers queries, and ``leases`` has the events and
queries about leases. The module ``manual_changes`` applies a person's changes to a job tree. No
other package imports the folders of this package:

- ``queue``: The workers that wait for a start: order, slots, holds, placement
- ``state``: The state that one turn reads and changes: job trees, unit of work
- ``transitions``: One module for each kind of event that changes state
"""
