"""The assignment of a survey worker: the task, the words of the request, the error of a survey."""
