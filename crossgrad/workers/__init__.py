"""A process for each engine: started in parallel, watched, ended for certain, replaced.

``protocol``  messages on a pipe, framed and checksummed
``arrays``    tensors through anonymous shared memory that leaves nothing behind
``wire``      cases, runs and descriptions as messages
``process``   what runs in a worker's process
``worker``    the parent's handle of one process
``pool``      many workers, their queues and deadlines, in a thread of the parent
"""
