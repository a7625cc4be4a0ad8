"""The assignment of a survey worker: the task, and the words of the request."""
