"""From a submission to a stored job: its agents, its plan, its ancestors."""
