"""What the survey writes: Markdown and headlines."""
