"""What all parts agree on: events, topics, stored shapes, settings, metric names and errors.

The bottom of the import order: nothing here imports another package of this project.
"""
