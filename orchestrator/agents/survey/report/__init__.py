"""Reports of the survey: Markdown and headlines."""
