//! Which lines of a wholesaler's invoices are sales of merchandise.
