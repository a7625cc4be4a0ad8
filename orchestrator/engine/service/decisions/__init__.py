"""Use cases by which people control a job: approval, answers, pauses, cancel."""
