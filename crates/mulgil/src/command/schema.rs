//! `mulgil schema`: by what editors complete and check the project's files.

use mulgil_project::schema;

use crate::{
    cli::{Schema, SchemaOf},
    command::Outcome,
    say,
};

pub(crate) fn schema(flags: Schema) -> Outcome {
    say::json(&match flags.of {
        SchemaOf::Project => schema::project(),
        SchemaOf::Flow => schema::flow(),
    });
    Ok(0)
}
