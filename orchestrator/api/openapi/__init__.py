"""The OpenAPI 3.1 document, made from the shapes that requests and answers really have."""
