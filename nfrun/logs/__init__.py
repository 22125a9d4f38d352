"""What nodes print and log: capture, files of logs and the redaction of secrets."""
