"""Infrastructure: messages, processes, clock, threads, memory, disk, ports, late parts."""
