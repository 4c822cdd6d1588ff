"""A report in the forms that others read: JUnit's XML, Markdown, GitHub's workflow commands.

``rows.py`` and ``complaints.py`` hold what all forms say, the text on a
terminal included; each other file is one form, with its own escape.
"""
