"""From raw columns to the numbers a model sees: one schema, one encoder, for all."""
