//! Real tasks under real supervisors.

mod adoption;
mod common;
mod ends;
mod events;
mod logs;
mod python;
