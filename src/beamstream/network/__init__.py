"""What every server of ours shares: how it listens, and who may ask it for what."""
