"""The TFLite file that answers: loaded, pooled, tested by its golden answers, guarded."""
