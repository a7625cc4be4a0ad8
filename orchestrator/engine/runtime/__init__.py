"""Messages, processes, clock, threads, memory, disk, and port numbers for the other packages."""
