"""The forms that people write in PyTorch; a file a family, each with forms(row)."""
