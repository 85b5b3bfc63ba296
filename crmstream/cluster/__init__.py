"""One dataflow on several hosts: its addresses, the meeting of its workers, and what they notice of one another."""
