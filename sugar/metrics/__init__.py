"""The field's metrics: arrays and texts in, shares between 0 and 1 out. They know no model and no data set.

    recall_at_k(similarity, target, k=1)     # retrieval.py: recall, Winoground, SugarCrepe, SugarCrepe++
    vqa_score("two", ten_answers)            # answers.py: VQA accuracy, POPE, MME, ANLS, multiple choice
    cider_d(captions, references)            # captions.py: BLEU, ROUGE-L, CIDEr-D, caption F1

Each function follows the authors' own program; the tests hold it against that program or its printed result.
"""

from sugar.metrics.answers import (
    Mme,
    Pope,
    anls,
    clean_vqa_answer,
    demon_choice,
    demon_rouge_l,
    letter_of,
    mme,
    normalise_answer,
    pope,
    pope_answer,
    scienceqa_letter,
    vqa_accuracy,
    vqa_score,
)
from sugar.metrics.captions import bleu, caption_f1, cider_d, coco_rouge_l, rouge_l, tokenise
from sugar.metrics.retrieval import (
    SugarCrepePlus,
    Winoground,
    average_precision,
    pairwise_accuracy,
    ranks,
    recall_at_k,
    sugarcrepe_plus,
    winoground,
)

__all__ = [
    "Mme",
    "Pope",
    "SugarCrepePlus",
    "Winoground",
    "anls",
    "bleu",
    "caption_f1",
    "cider_d",
    "clean_vqa_answer",
    "coco_rouge_l",
    "demon_choice",
    "demon_rouge_l",
    "letter_of",
    "mme",
    "normalise_answer",
    "average_precision",
    "pairwise_accuracy",
    "pope",
    "pope_answer",
    "ranks",
    "recall_at_k",
    "rouge_l",
    "scienceqa_letter",
    "sugarcrepe_plus",
    "tokenise",
    "vqa_accuracy",
    "vqa_score",
    "winoground",
]
