"""The shell: arguments in, the rooms' functions called, exit code out."""
