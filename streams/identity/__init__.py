"""Devices and e-mail addresses: whose history is whose, and who owns it from when on."""
