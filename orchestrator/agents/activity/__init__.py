"""Output of agents: lines become events of one form for all programs, and a transcript."""
