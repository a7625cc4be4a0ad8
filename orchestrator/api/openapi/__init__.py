"""The OpenAPI 3.1 document, built from the models of requests and answers.

- ``operations``: Every call in one table; a test compares it with the application's routes
"""
