"""Everyday photos with captions: what captions agree on, and the questions and foils made of it.

archive.py reads the folder, facts.py counts what is said and asks about it, foils.py exchanges one word,
words.py holds the lists. The training data and the benchmark of sugar-photo are both made from it.
"""
