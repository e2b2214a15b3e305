"""What `beamstream doctor` looks at, one room a file."""
