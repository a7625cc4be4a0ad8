"""What agents answer: plans, gates, reviews."""
