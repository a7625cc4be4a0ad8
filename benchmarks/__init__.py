"""What the product costs, measured against named peers in the same run."""
