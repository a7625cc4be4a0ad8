"""Infrastructure: messages, processes, clock, threads, memory, disk, ports, lazy objects."""
