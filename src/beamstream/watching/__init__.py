"""What everybody who looks on shares: finding a stream, following it, keeping some of it."""
