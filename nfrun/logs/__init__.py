"""What nodes print and log: capture, files of logs and the redaction of secrets.

Other packages use:

- `event_redaction`: `redacted_problem`, `redactor_of`, `telling_without`
- `node_logs`: `give_way`, `LOG`, `log_of`, `Logs`, `STREAMS`, `Transcript`
- `print_capture`: `current_attempt`
- `redaction`: `HIDDEN`, `Redactor`
- `stream_takeover`: `apart`, `guarded_stderr`, `printing`
"""
