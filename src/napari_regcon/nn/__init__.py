"""Networks, filters and losses in pure torch: no files, no device choice, no training loops."""
