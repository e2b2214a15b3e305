"""What every server of ours shares: who may ask it for what."""
