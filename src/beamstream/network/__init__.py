"""Both ends of a wire: who listens, who may ask, and what is sent to whom."""
