"""The HTTP side: the server and the client; importing this package loads neither.

- ``access``: Access control: keys, origins, rates, and the audit log
- ``client``: The client library: ``OrchestratorClient`` and its parts
- ``http``: Requests and responses: parsing, problems, files, metrics
- ``mcp``: The Model Context Protocol: the same tools over standard input and over ``POST /mcp``
- ``openapi``: The OpenAPI 3.1 document, made from the real shapes of requests and answers
- ``routes``: The calls, by subject
- ``serializers``: The engine's values as JSON answers
- ``server``: The HTTP server: the Flask app on waitress, and its limits on connections
- ``sockets``: Connections that hold no thread: their loop, its timers, its writers
- ``streaming``: Long answers: event streams, followed logs, bounded waits
- ``tasks``: ``/api/v1/tasks``: one description for several tools; an adapter on the service
"""
