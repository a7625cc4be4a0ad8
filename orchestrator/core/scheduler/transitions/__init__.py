"""One module for each kind of event that changes state.

The module ``scheduler_parts`` creates the classes of these modules, and connects them.

- ``ends``: Ends of attempts, workers, and jobs, and what follows: retry, selection, stops
- ``running_workers``: Events of running workers: start, preloaded launches, locks, messages, gates
"""
