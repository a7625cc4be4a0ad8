"""Sends messages to webhooks and to callbacks of jobs, and notifications to people.

- ``delivery``: The delivery of messages: due entries, retries, contents, requests over HTTP
- ``notifications``: Notifications: their text, and one module for each kind of target
"""
