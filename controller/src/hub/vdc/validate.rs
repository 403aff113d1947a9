//! Strings become typed values here, once. What cannot be carried out is said with field, value, limit and remedy.

use yunting_crds::common::Quota;
use yunting_crds::conditions::{Statement, reason};
use yunting_crds::names::{BureauName, NamespaceName, VdcName};
use yunting_crds::resources::{Amounts, Kind};
use yunting_crds::vdc::{DrReserveMode, Effective};
use yunting_plan::quota::split::Reserve;
use yunting_plan::slices::{Identity, effective_amounts};
use yunting_plan::summary::not_ready;

use super::observe::Seen;

/// A VDC that can be carried out, if there is room.
pub(super) struct Valid {
    pub(super) identity: Identity,
    pub(super) effective: Effective,
    pub(super) quota: Amounts,
    pub(super) reserve: Reserve,
    /// Limits of the bureau, less what is carved from it.
    pub(super) bureau_quota: Amounts,
    /// Most VDCs of the bureau.
    pub(super) bureau_vdcs: Option<u32>,
}

/// Checks everything that needs no other VDC.
pub(super) fn validate(seen: &Seen) -> Result<Valid, Statement> {
    let spec = &seen.vdc.spec;
    let name = seen.vdc.metadata.name.as_deref().unwrap_or_default();
    names(seen, name)?;
    let bureau = seen.bureau.as_ref().ok_or_else(|| {
        refuse(
            reason::REFERENCE,
            format!("no Bureau {:?} exists; a platform administrator creates it", seen.bureau_name),
        )
    })?;
    if bureau.metadata.deletion_timestamp.is_some() {
        return Err(refuse(
            reason::DELETING,
            format!("bureau {} is being deleted: nothing new is made in it", seen.bureau_name),
        ));
    }
    if let (Some(wanted), None) = (&spec.template_ref, &seen.template) {
        let text = format!(
            "spec.templateRef.name {:?} is no VdcTemplate; `kubectl get vdctemplates` lists them",
            wanted.name
        );
        return Err(refuse(reason::REFERENCE, text));
    }
    let effective = effective(seen);
    let quota = amounts("spec.quota", &effective.quota)?;
    for kind in [Kind::Cpu, Kind::Memory, Kind::Pods] {
        if quota.get(kind).is_none() {
            return Err(refuse(
                reason::INVALID,
                format!("spec.quota.{kind} is missing: give it here or name a template that does"),
            ));
        }
    }
    let reserve = match effective.dr_reserve.mode {
        DrReserveMode::None => Reserve::None,
        DrReserveMode::Full => Reserve::Full,
        DrReserveMode::Fixed => Reserve::Fixed(fixed(&effective, &quota)?),
    };
    Ok(Valid {
        identity: Identity {
            bureau: seen.bureau_name.clone(),
            name: name.to_owned(),
            uid: seen.uid.clone(),
            generation: seen.vdc.metadata.generation.unwrap_or_default(),
        },
        quota: effective_amounts(quota),
        reserve,
        bureau_quota: bureau
            .spec
            .quota
            .amounts()
            .map_err(|e| refuse(reason::REFERENCE, format!("bureau {}: spec.quota.{e}", seen.bureau_name)))?
            .minus(&seen.carved),
        bureau_vdcs: bureau.spec.quota.vdcs,
        effective,
    })
}

fn names(seen: &Seen, name: &str) -> Result<(), Statement> {
    let invalid = |e: &dyn std::fmt::Display| refuse(reason::INVALID, e.to_string());
    BureauName::new(&seen.bureau_name).map_err(|e| invalid(&e))?;
    VdcName::new(name).map_err(|e| invalid(&e))?;
    for namespace in &seen.vdc.spec.namespaces {
        NamespaceName::new(&namespace.name).map_err(|e| invalid(&e))?;
    }
    Ok(())
}

/// The spec, filled by its template.
fn effective(seen: &Seen) -> Effective {
    let spec = &seen.vdc.spec;
    let template = seen.template.as_ref().map(|t| &t.spec);
    Effective {
        quota: spec.quota.or(&template.map(|t| t.quota.clone()).unwrap_or_default()),
        dr_reserve: spec
            .dr_reserve
            .clone()
            .or_else(|| template.and_then(|t| t.dr_reserve.clone()))
            .unwrap_or_default(),
        isolation: spec
            .isolation
            .clone()
            .or_else(|| template.and_then(|t| t.isolation.clone()))
            .unwrap_or_default(),
    }
}

fn fixed(effective: &Effective, quota: &Amounts) -> Result<Amounts, Statement> {
    let fixed =
        amounts("spec.drReserve.fixed", effective.dr_reserve.fixed.as_ref().unwrap_or(&Quota::default()))?;
    match fixed.first_above(quota) {
        Some(excess) => Err(refuse(
            reason::INVALID,
            format!("spec.drReserve.fixed is above spec.quota: {excess}; lower it or raise the quota"),
        )),
        None => Ok(fixed),
    }
}

fn amounts(field: &str, quota: &Quota) -> Result<Amounts, Statement> {
    quota.amounts().map_err(|e| refuse(reason::INVALID, format!("{field}.{e}")))
}

fn refuse(reason: &'static str, message: String) -> Statement {
    not_ready(reason, message)
}
