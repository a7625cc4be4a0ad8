"""Which agents there are, what they cost, which can work here and for which tasks."""
