"""Data sets, label loading, class-name files, prompt templates and checks of what lies on disk."""
