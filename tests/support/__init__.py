"""What tests share: projects, programs, sources, seeds, kills, the soak."""
