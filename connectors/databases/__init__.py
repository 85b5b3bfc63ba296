"""Tables to events: what all databases have in common, with a position for each row."""
