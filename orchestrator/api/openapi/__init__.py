"""The OpenAPI 3.1 document, built from the models of requests and answers.

- ``operations``: The table of all calls, which a test compares with the application's routes
"""
