"""Models of requests and answers of the API, from which the OpenAPI document is built.

- ``agent_output``: Answers of agents, checked by a schema: plans and reviews
- ``answers``: Answers to callers
- ``fields``: Types of fields, and validation errors
- ``requests``: Requests of callers
- ``triggers``: Triggers: external events that start a job, or are sent as feedback
"""
