//! The bureaus of the table, with quota by class and people by groups of the city's identity provider.

use yunting_crds::bureau::BureauQuota;
use yunting_crds::common::{Member, NameRef, Role, Subject, SubjectKind};
use yunting_crds::{Bureau, BureauSpec};

use super::data;
use super::scale::Scale;

/// One object per line of the table.
pub fn bureaus(scale: Scale, table: &[data::Bureau]) -> Vec<Bureau> {
    table.iter().map(|line| bureau(scale, line)).collect()
}

fn bureau(scale: Scale, line: &data::Bureau) -> Bureau {
    let (amounts, vdcs) = scale.bureau(line.class);
    let quota = BureauQuota {
        cpu: amounts.cpu,
        memory: amounts.memory,
        storage: amounts.storage,
        gpu: Some(0),
        load_balancers: Some(vdcs),
        halls: Some(2 * vdcs),
        vdcs: Some(vdcs),
    };
    let spec = BureauSpec {
        display_name: line.display_name.clone(),
        parent_ref: line.parent.clone().map(|name| NameRef { name }),
        domains: domains(line),
        quota,
        members: members(line),
    };
    Bureau::new(&line.name, spec)
}

/// A bureau that runs halls for others owns the domain its table line names and what lies below it.
fn domains(line: &data::Bureau) -> Vec<String> {
    vec![line.domain.clone()]
}

/// Administrators, operators and readers of every bureau; the halls' vendor where the halls are.
fn members(line: &data::Bureau) -> Vec<Member> {
    let group = |name: String, role| Member {
        subject: Subject { kind: SubjectKind::Group, name },
        role,
        halls: Vec::new(),
    };
    let mut members = vec![
        group(format!("{}-admins", line.name), Role::Admin),
        group(format!("{}-operators", line.name), Role::Operator),
        group(format!("{}-staff", line.name), Role::Viewer),
    ];
    if line.name == super::vdcs::HALL_BUREAU {
        let halls = super::halls::names().map(str::to_owned).collect();
        members.push(Member { halls, ..group("hall-vendor".to_owned(), Role::AppVendor) });
    }
    members.push(group("audit-inspectors".to_owned(), Role::Auditor));
    members
}
