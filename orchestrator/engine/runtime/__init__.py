"""Messages, processes, clock, threads, memory, disk, and ports: the base of the other packages."""
