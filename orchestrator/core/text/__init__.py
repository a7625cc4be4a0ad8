"""Text made to fit where it stands, and JSON from elsewhere, read without trust."""
