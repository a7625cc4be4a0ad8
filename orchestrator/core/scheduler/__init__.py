"""The pure state machine: events in, commands out.

Its face is ``scheduler``: events are its methods, ``turn`` gives ``commands``, its ``view`` answers
queries, its ``leases`` are the locks of running workers. Nothing outside of core touches its parts:

- ``queue``: Who may start, and in which order: slots, holds, throttles
- ``state``: The state that one turn reads and changes: job trees, task progress, unit of work
- ``transitions``: One module for each kind of event that changes state
"""
