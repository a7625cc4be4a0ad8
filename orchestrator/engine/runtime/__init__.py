"""Messages, processes, clock, threads, memory, and disk for the other packages."""
