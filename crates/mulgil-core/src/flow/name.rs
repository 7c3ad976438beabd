//! How flows and their steps are named among nodes: in the ledger, on the command line, and for people.

/// Before the name of a flow where nodes stand too.
const PREFIX: &str = "flow:";

/// A flow among nodes and instances: `flow:NAME`.
pub fn of_flow(flow: &str) -> String {
    format!("{PREFIX}{flow}")
}

/// The flow that is named so; nothing where it is a node.
pub fn flow_in(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// A step among the instances of task runs: `flow:NAME/STEP`.
pub fn of_step(flow: &str, step: &str) -> String {
    format!("{PREFIX}{flow}/{step}")
}

/// A step as people and tasks are told of it: `NAME.STEP`.
pub fn told_step(flow: &str, step: &str) -> String {
    format!("{flow}.{step}")
}
