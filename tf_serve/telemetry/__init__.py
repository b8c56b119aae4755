"""What the server says about itself: traces, metrics, logs."""
