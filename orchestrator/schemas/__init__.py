"""Wire shapes: what callers send and what they are answered; OpenAPI is made from them.

- ``agent_output``: What agents answer: plans, gates, reviews
- ``answers``: What callers are answered
- ``fields``: Types of fields, and validation errors
- ``requests``: What callers send
"""
