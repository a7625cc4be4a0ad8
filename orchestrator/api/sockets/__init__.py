"""Connections that wait without a thread each: their loop, timers, and outputs."""
