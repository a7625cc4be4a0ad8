"""The pure state machine: events in, commands out.

The interface is ``scheduler``: its methods are events, ``turn`` returns ``commands``, ``view``
answers queries, and ``leases`` contains the locks of running workers. Only core uses the other
parts:

- ``state``: The state that one turn reads and changes: job trees, unit of work
- ``transitions``: One module for each kind of event that changes state
"""
