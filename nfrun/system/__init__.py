"""The operating system: files, processes, pipes, signals and memory."""
