"""Sugar's recipes.

tiny: the embedded model from nothing, in bfloat16 (`--precision no` on a CPU without bfloat16 products).
paper: the same shape under the paper's objective as written: language loss and similarity to a bag-of-attributes target, no added terms.
lora: the paper's large setting, LoRA 128 / 256 on the query and value projections of a frozen LLaVA-1.5, for a GPU.
"""

from dataclasses import replace

from sugar.training.loop import SugarConfig
from sugar.training.objective import Terms

TINY = SugarConfig(precision="bf16")
PAPER = replace(TINY, out="runs/paper", terms=Terms(similarity=1.0, swap=0.0, referent=0.0, dense=0.2, even=0.0, align=0.0, across="bag"))
LORA = SugarConfig(
    out="runs/lora", base="llava-hf/llava-1.5-7b-hf", lora=128, dense_steps=0, steps=3000, rate=1e-4, matrix_rate=1e-3, decay=0.97,
    weight_decay=0.0, matrix_decay=0.0, precision="bf16", threads=0, budget=4096, easy_until=0,
    terms=Terms(similarity=1.0, swap=0.0, referent=0.0, dense=0.0, even=0.0, align=0.0),
)  # fmt: skip
CONFIGS = {"tiny": TINY, "paper": PAPER, "lora": LORA}
