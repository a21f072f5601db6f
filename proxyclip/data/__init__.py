"""Data sets, label loading, class-name files, prompt templates, checks of files."""
