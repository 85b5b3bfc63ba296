"""The dataflow and the pure core that it calls: decoding, clocks, profiles, segments."""
