"""The HTTP server: the Flask app on waitress, and its limits on connections."""
