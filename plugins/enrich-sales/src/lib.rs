//! What a sale adds up to, and what is known of its product and store.
