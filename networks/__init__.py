"""The nets that the VAEs of models.py are made of: tensors to tensors."""
