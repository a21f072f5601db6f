"""Class lists in the forms that people and tools write them."""
