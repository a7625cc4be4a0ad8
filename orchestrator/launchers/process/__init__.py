"""What all of them use: processes, limits, framing. Standard library only."""
