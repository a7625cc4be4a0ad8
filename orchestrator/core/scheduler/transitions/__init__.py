"""One module for each kind of event that changes state.

- ``ends``: Ends of attempts, workers, and jobs, and what follows: retry, selection, stops
- ``running_workers``: Events of running workers: start, preloaded launches, locks, messages, gates
"""
