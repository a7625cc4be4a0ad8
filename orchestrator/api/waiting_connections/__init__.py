"""Connections that wait without their own thread: their loop, timers, and outputs."""
