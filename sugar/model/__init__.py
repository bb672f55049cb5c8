"""Models: presets, loading, Sample <-> batch, the forward pass, the embedding head, adapters, checkpoints.

Only this room, and the benchmarks that measure against it, know Transformers, PEFT and bitsandbytes.
README.md in this folder lists its files.
"""
