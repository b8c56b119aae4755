"""`tbconv convert | verify | compare | prove`: every format of a network, and what says that nothing changed."""
