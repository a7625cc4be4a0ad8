"""Use cases by which people control a job: plans, questions, pauses, cancel, messages."""
