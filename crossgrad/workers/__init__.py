"""A process for each engine: started in parallel, watched, ended for certain, replaced.

``protocol``  messages on a pipe, framed and checksummed
``arrays``    tensors through anonymous shared memory that leaves nothing behind
``wire``      cases, runs and descriptions as messages
``phases``    what a worker is at, in memory that both processes see
``process``   what runs in a worker's process; ``serving`` answers there, ``held`` keeps a program to time
``limits``    seconds and bytes that a worker may take; ``memory`` and ``proc`` measure what it takes
``worker``    the parent's handle of one process; ``strays`` ends what that one started
``tasks``     what a worker is asked for, and whether the answer is one
``pool``      many workers, their queues and deadlines, in a thread of the parent
"""
