"""The HTTP server and its client. Importing this package loads neither.

- ``access``: Access control: keys, origins, rate limits, and the audit log
- ``client``: The client library: ``OrchestratorClient`` and its parts
- ``http_messages``: Requests and responses: parsing, error answers, files, and metrics
- ``http_server``: The HTTP server: the Flask app on waitress, and its limits on connections
- ``mcp``: The Model Context Protocol: the same tools over standard input and over ``POST /mcp``
- ``openapi``: The OpenAPI 3.1 document, built from the models of requests and answers
- ``routes``: The handlers of HTTP calls, by subject
- ``serializers``: The engine's values as JSON answers
- ``socket_loop``: The thread that serves all waiting connections, with its timers and writers
- ``streaming``: Long answers: event streams, followed logs, bounded waits
- ``tasks_api``: ``/api/v1/tasks``: jobs that run one task with several command-line tools
"""
