"""Use cases by which people control jobs and workers: plans, questions, pauses, stops, messages."""
