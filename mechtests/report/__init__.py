"""What people read of a run: the table of the terminal, the page, cards, badges and Markdown."""
