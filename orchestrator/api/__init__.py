"""The HTTP side: the server and the client; importing this package loads neither."""
