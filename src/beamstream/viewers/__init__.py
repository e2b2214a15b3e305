"""Windows on the console: processes of their own that come and go as they like."""
