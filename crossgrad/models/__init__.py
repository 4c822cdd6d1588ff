"""Models of other libraries as specifications, and specifications as models.

``ports`` has the public functions; each imports its library when it is
called. A reader turns a model into steps along the way of its data, and
`model_of` turns those into a `Model`, or refuses what no specification says.
"""
