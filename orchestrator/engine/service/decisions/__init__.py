"""Use cases by which people control a job: approval, pauses, cancel."""
