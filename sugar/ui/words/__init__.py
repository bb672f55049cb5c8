"""The sections of the catalogue of texts (sugar/ui/text.py), one file per tab."""
