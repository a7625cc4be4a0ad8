"""The handlers of HTTP calls, by subject.

- ``queries``: Calls that list many jobs or workers, or show parts of one job
- ``server``: Calls about the server: logins, health, agents, nodes, statistics, project, and keys
"""
