"""Every option of a config: its type, its default, what it may be, and a sentence that says what it does."""
