"""Ends of attempts, workers, and jobs, and what follows: retry, selection of a candidate, stops."""
