"""What must outlive the process: orders before they leave, their events, the gate's records, saved strategies."""

from runner.journal.journal import AccountJournal, Journal
from runner.journal.shared import SharedStates
from runner.journal.store import JournalError

__all__ = ["AccountJournal", "Journal", "JournalError", "SharedStates"]
