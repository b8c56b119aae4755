"""What was measured becomes verdicts, a page that a person reads, and a signature."""
