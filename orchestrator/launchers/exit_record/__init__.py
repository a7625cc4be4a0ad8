"""The record of an attempt's end, with its lock and the proof of its origin."""
