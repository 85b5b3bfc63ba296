"""The shared contract: events, topics, stored shapes, settings, metric names and errors.

Nothing here imports another package of this project.
"""
