"""The contract with every reader: records of verdicts, files of results, what is on record, and the ledger."""
