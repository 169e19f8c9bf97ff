//! Delta tables: reading and committing. The only place that names deltalake.
