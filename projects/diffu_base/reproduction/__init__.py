"""The papers' tables, beside what checkpoints reach here."""
