"""Code that tests share: projects, programs, parsed sources, random tests, and the soak."""
