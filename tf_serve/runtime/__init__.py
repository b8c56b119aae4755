"""The TFLite file that answers: judged, loaded, pooled, tested by its golden answers, guarded."""
