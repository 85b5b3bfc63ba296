"""The file of sources: who may send, with which keys and rules."""
