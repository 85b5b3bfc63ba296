"""The store of keyed steps: each bucket's state as files of changed columns, with a small token in Bytewax's recovery."""
