//! Repairs ids, ways to pay, and numbers that came as text.
