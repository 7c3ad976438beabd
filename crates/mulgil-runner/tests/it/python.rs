//! Python steps.
