"""The dataflow and its pure core, in the order of the flow: read, identity, profiles, publish."""
