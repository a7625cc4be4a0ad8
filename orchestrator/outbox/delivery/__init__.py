"""The delivery of messages: due entries, retries, contents, and requests over HTTP."""
