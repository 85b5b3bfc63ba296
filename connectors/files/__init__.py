"""Files to events: the replay of one, and a folder that is watched."""
