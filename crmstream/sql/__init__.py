"""Asking the warehouse: statements, their answers, and the shell of ``crmstream sql``."""
