"""One small file per shell command: arguments in, the rooms' functions called, exit code out."""
