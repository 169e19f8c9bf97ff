//! What rule authors work with: building a rule into a component.
