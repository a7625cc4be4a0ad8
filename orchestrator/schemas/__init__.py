"""Wire shapes: what callers send and what they are answered; OpenAPI is made from them."""
