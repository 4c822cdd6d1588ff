"""What is computed: pure data. Networks, parameters, batches, cases, and the catalogue.

Nothing here executes a network, and nothing here imports from the rest of
crossgrad: NumPy, and pydantic for what users write in files. Names are imported from
their modules, so that ``crossgrad --help`` and ``crossgrad doctor`` need not load NumPy.
"""
