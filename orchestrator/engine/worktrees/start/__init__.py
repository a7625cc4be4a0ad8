"""What an attempt starts from that follows other work."""
