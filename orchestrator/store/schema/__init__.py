"""Tables, columns, and JSON documents in them."""
