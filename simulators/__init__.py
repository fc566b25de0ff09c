"""Neighbours to practise with: customs and an enterprise's ERP."""
