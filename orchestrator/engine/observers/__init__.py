"""Observers of stored changes: the feed of events, and the throughput."""
