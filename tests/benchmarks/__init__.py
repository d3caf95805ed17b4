"""The benchmarks' own harness: that it tells right answers from wrong ones, and slower from as fast."""
