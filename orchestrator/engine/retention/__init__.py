"""Removing old jobs, and putting right what a crash left."""
