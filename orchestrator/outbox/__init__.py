"""Messages to external receivers: webhooks, callbacks of jobs, and notifications to people.

- ``notifications``: Notifications: their text, and one module for each kind of target
"""
