"""Delayed labels, online learners, their quality, and scoring. Pure: no engine, client or clock."""
