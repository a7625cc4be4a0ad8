"""Security: secrets, safe access to files, the environment of workers, text for terminals.

- ``files``: Safe access to files, and the directories of the product
- ``secrets``: API keys, masking of secrets in text, and signatures of incoming events

``proc`` reads processes from /proc. ``stdlib_client`` sends HTTP requests with a key,
``http_exchange`` writes each request and reads its answer, and ``http_retry`` repeats calls. All
four are also for programs that must start fast.
"""
