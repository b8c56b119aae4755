"""What the films are: read, checked, split and, where there are none, drawn."""
