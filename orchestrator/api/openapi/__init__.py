"""The OpenAPI 3.1 document, made from the shapes that requests and answers really have.

- ``operations``: Every call in one table; a test compares it with the application's routes
"""
