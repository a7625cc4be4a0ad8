"""The record of an attempt's end: its lock, its file, and the proof of its origin."""
