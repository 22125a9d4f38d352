"""Captures what nodes print and log, writes log files, and redacts secrets.

`print_capture.py` routes prints to the attempt that made them, and `node_logs.py` stores them. `redaction.py` redacts
text, and `event_redaction.py` applies it to events.

Other packages use:

- `event_redaction`: `redact_diagnostic`, `redact_events`, `redact_value`
- `node_logs`: `KEEP_BYTES`, `LOG`, `log_path`, `Logs`, `StreamLog`, `STREAMS`, `throttle_detached`
- `print_capture`: `capture_prints`, `current_attempt`
- `redaction`: `CUT`, `MASK`, `Redactor`
"""
