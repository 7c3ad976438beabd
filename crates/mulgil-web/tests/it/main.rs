//! Pages as a whole, made of the values that the gallery shows.

#[path = "../../examples/gallery/attempt.rs"]
mod attempt;
#[path = "../../examples/gallery/flow.rs"]
mod flow;
mod frame;
#[path = "../../examples/gallery/run.rs"]
mod run;
mod runs;
