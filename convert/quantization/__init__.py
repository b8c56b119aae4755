"""What an integer TFLite file needs: ranges, even channels, float islands, corrected biases."""
