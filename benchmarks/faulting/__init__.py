"""The parts of ``benchmarks/faults.py``.

``vices``    engines that crash, hang, babble ..., each in a worker beside a good one
``kills``    SIGKILL of a sweep at random moments
``storing``  death, full disks and a jumping clock at every write and sync of the store
``marks``    finding every process that a run started, whoever its parent is by now
"""
