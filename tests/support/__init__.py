"""Parts that tests share: projects, programs, sources, seeds, kills, and the soak."""
