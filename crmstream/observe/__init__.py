"""Reads how a running installation is doing, from its servers. Changes nothing."""
