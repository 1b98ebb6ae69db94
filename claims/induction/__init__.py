"""Claims about induction heads in transformers that predict the next token."""
