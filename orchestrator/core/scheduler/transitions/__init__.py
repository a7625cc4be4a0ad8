"""One module for each kind of event that changes state.

- ``ends``: Ends of attempts, workers, and jobs, and what follows: retry, selection, stops
- ``human_input``: Decisions of people about a job: answers to questions of its tasks, pauses
- ``running_workers``: Events of running workers: start, preloaded launches, locks, messages, gates
"""
