//! Units by day and product, as inventory needs them.
