"""What every test needs loaded."""

# A run inside this process (pytester) has every module taken away that it was the first to load, and SQLAlchemy cannot
# be loaded a second time.
import mechtests.results.ledger  # noqa: F401
