//! Pages as a whole, made of the values that the gallery shows.

mod every;
#[path = "../../examples/gallery/pages.rs"]
mod pages;
mod runs;
