"""The same file served by LitServe, MLServer and BentoML, each in its own environment: what we are compared to."""
