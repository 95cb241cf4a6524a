"""Textbook hierarchies as a beginner writes them: centred, with scales that the data hardly tell."""
