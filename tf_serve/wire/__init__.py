"""What passes over the wire: bytes to tensors and films, and back; pure functions that know no server."""
