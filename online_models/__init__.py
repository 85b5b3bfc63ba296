"""Outcomes, delayed labels, online learners and the measure of their quality. Pure: no engine, client or clock."""
