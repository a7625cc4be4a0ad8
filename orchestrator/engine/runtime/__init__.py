"""What the engine runs on: messages, processes, clock, threads, memory, disk, ports."""
