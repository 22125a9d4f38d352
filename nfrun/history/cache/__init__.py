"""Decides which nodes need not run again, and records in the journal of a run what that decision needs."""
