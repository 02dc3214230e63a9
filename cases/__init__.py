"""What people look at: a decision for review opens a case, an analyst's verdict on it becomes a label."""
