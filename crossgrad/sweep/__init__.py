"""Thousands of cases, stored as they are finished, stopped and gone on with at will.

``ids``       the name of a case, from which alone it can be made again
``plan``      which cases: a random stream or a grid; ``plan_files`` reads one from options or TOML
``ranges``    ``1..12`` as users write it, and draws from it
``info``      what a run is of: plan, engines, environments
``sessions``  a run opened with its engines: a new one, or one that goes on
``records``   what is kept of a case
``lines``     records as checksummed lines
``store``     a run's directory: what survives crashes, full disks and two writers
``runner``    runs what is missing
``summary``   figures of a run, from its records one by one
``listing``   the runs in a folder
``merge``     the shards of a plan, in one run
``tables``    records as CSV and Parquet
``text``      all of it for people
``schemas``   the published JSON Schemas of the files
"""
