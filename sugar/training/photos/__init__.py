"""What the photo model learns from: captioned photos, and the questions, foils and refusals made of them.

README.md of `sugar/training` lists the files.
"""
