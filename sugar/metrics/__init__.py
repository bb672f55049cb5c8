"""The field's metrics: arrays and texts in, shares between 0 and 1 out. They know no model and no data set.

    recall_at_k(similarity, target, k=1)     # retrieval.py: recall, Winoground, SugarCrepe, SugarCrepe++
    vqa_score("two", ten_answers)            # answers.py: VQA accuracy, POPE, MME, ANLS, multiple choice
    cider_d(captions, references)            # captions.py: BLEU, ROUGE-L, CIDEr-D, caption F1

Each function follows the authors' own program; the tests hold it against that program or its printed result.
"""
