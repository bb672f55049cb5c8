"""Models: presets, loading, Sample <-> batch, the embedding head, adapters, checkpoints. Only this room knows Transformers and PEFT.

| file | what lives there |
|---|---|
| `presets.py` | the table of models by name: repository, family, licence, sizes, memory |
| `hub.py` | downloads: size, progress, resume, offline, safetensors only; every refusal explained |
| `load.py` | device and precision, does it fit, weights in, processor without torchvision |
| `processor.py` | a `Sample` or a conversation <-> token ids, pixels, and which token belongs to which slice |
| `head.py` | the embedding head, hidden state -> unit vector |
| `vision.py` | vision features of a picture, computed once and kept in a bounded cache |
| `decode.py` | prefill, the kept prefix of a conversation, sampling, streaming of text |
| `encoders.py` | embeddings for a base without an adapter: `triple` and `prompt` |
| `adapters.py` | LoRA plus head as one folder; several loaded, switched per call; push and pull |
| `checkpoint.py` | `sugar.json`, the fingerprint, the model card |
| `tiny.py` | configuration and tokenizer of the embedded model |
| `attention.py` | attention that stays in float32 while the rest trains in bfloat16 |
"""
