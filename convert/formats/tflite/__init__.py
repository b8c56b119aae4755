"""TFLite files: written from plain operations, and what stands beside the network in them."""
