//! What an API server refuses: nothing comes of it, and whoever asked is told which field it is about.

use yunting_tests::mutations::Mutation;

use super::run::Wrong;
use super::stage::Stage;
use super::tenant::{Refusal, Tenant};

/// Asks a tenant for everything that is to be refused. That nothing came of it is seen by how the tenant stands.
pub async fn ask(stage: &Stage, still: &Tenant, all: &[Mutation], wrong: &mut Wrong) -> anyhow::Result<()> {
    for mutation in all {
        let said = match still.put(&stage.planes, mutation.kind, &mutation.spec).await? {
            Err(refusal) => silent(mutation, &refusal),
            Ok(()) => Some(format!("{}: is taken, though `validate` refuses it", mutation.what)),
        };
        wrong.entry(mutation.kind).or_default().extend(said);
    }
    Ok(())
}

/// What is wrong with a refusal: it has to name the field, or what it lies in.
pub fn silent(mutation: &Mutation, refusal: &Refusal) -> Option<String> {
    let parts: Vec<&str> = mutation.field.split('.').map(|part| part.trim_end_matches("[]")).collect();
    let last = &parts[parts.len().saturating_sub(2).max(1)..];
    let told = last.iter().any(|name| refusal.0.contains(name));
    (!told).then(|| format!("{}: the refusal does not name the field: {:?}", mutation.what, refusal.0))
}
