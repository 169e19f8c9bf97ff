//! Sales by day and store.
