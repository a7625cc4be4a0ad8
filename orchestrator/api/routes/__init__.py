"""The handlers of HTTP calls, by subject.

- ``queries``: Calls that read a job's workers and changes, and the needs and the usage of all jobs
- ``server``: Calls about the server: logins, health, agents, nodes, statistics, project, and keys
"""
