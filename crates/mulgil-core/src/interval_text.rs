//! Intervals as people write them.
