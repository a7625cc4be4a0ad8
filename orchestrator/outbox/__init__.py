"""Messages to external receivers: webhooks, callbacks of jobs, and notifications of people.

- ``notifications``: Notifications: their text, and one module for each kind of target
"""
