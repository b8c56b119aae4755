"""What int8 needs: calibration ranges, cross-layer equalization, float32 operations, bias correction."""
