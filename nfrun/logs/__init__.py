"""What nodes print and log: capture, files of logs and the redaction of secrets.

Other packages use:

- `event_redaction`: `redact_diagnostic`, `redact_events`, `redactor_of`
- `node_logs`: `LOG`, `log_path`, `Logs`, `StreamLog`, `STREAMS`, `throttle_detached`
- `print_capture`: `current_attempt`
- `redaction`: `MASK`, `Redactor`
- `stream_takeover`: `capture_prints`, `redact_stderr`, `separate_stdout`
"""
