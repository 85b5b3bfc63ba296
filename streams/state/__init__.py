"""The stored state of keyed steps: files of changed columns by bucket, named by small tokens in Bytewax's recovery."""
