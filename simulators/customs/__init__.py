"""Customs, simulated: scenarios are data, answers are seeded."""
