//! What an auditor asks of the certificates of deletion: is the list one whole chain? Reads a list that somebody gives it and
//! no API server, so that it can be done anywhere, with a copy of the program of one's own.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use kube::ResourceExt;
use serde::Deserialize;
use yunting_crds::{DeletionCertificate, DeletionCertificateSpec};
use yunting_plan::certificate::verify;

/// What is asked.
#[derive(clap::Args)]
pub struct Options {
    /// What `kubectl get deletioncertificates -n yunting-system -o json` printed; `-` for the standard input.
    #[arg(default_value = "-")]
    list: PathBuf,
    /// A hash that was printed by an earlier check: it has to be in the chain still. Without it nobody sees that the last
    /// certificates were removed.
    #[arg(long)]
    known: Vec<String>,
}

#[derive(Deserialize)]
struct List {
    items: Vec<DeletionCertificate>,
}

/// Checks the list and prints what it shows; fails when the chain is broken.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut text = String::new();
    if options.list.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
    } else {
        let file = options.list.display();
        text = fs::read_to_string(&options.list).with_context(|| format!("cannot read {file}"))?;
    }
    check(&text, &options.known, &mut io::stdout().lock())
}

fn check(text: &str, known: &[String], out: &mut impl Write) -> anyhow::Result<()> {
    // A field that the kind does not have is refused here: no hash would cover it.
    let list: List = serde_json::from_str(text).context(
        "this is no list of certificates: give it what kubectl get deletioncertificates -o json prints",
    )?;
    let all: Vec<(String, DeletionCertificateSpec)> =
        list.items.into_iter().map(|c| (c.name_any(), c.spec)).collect();
    let found = verify(&all);
    let mut wrong: Vec<String> = found.broken.iter().map(ToString::to_string).collect();
    let missing = known.iter().filter(|hash| !all.iter().any(|(_, spec)| spec.hash == **hash));
    wrong.extend(
        missing.map(|hash| {
            format!("no certificate has hash {hash}: what was known once is gone or was changed")
        }),
    );
    for line in &wrong {
        writeln!(out, "{line}")?;
    }
    if !wrong.is_empty() {
        bail!(
            "the chain is broken in {} places; look for a copy of the certificates from before",
            wrong.len()
        );
    }
    writeln!(out, "{} certificates, one whole chain", found.count)?;
    if let Some(head) = &found.head {
        writeln!(out, "keep for the next check: --known {head}")?;
    }
    for name in &found.not_whole {
        writeln!(out, "{name}: not every key was seen to be destroyed, see its spec.sites")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use yunting_crds::deletion_certificate::SiteEnd;
    use yunting_crds::vdc::KeyProvider;
    use yunting_plan::certificate::{Ended, certificate, name};

    use super::*;

    fn list(length: i64) -> Vec<Value> {
        let keys = json!({"outcome": "Forgotten", "provider": "Embedded", "reason": "given up"});
        let end = json!({"site": "guoyang", "slice": "1", "role": "Active", "keys": keys});
        let left: [SiteEnd; 1] = [serde_json::from_value(end).unwrap()];
        let mut all: Vec<DeletionCertificateSpec> = Vec::new();
        for n in 1..=length {
            let ended = Ended {
                bureau: "education",
                vdc: "exams",
                uid: &format!("uid-{n}"),
                provider: KeyProvider::Embedded,
                requested_at: "2026-11-24T08:00:00Z".to_owned(),
                ended_at: "2026-11-24T08:00:09Z".to_owned(),
                left: &left,
                shown: &[],
            };
            all.push(certificate(all.last(), &ended).unwrap());
        }
        let object = |spec: DeletionCertificateSpec| {
            json!({"apiVersion": "yunting.io/v1alpha1", "kind": "DeletionCertificate",
                "metadata": {"name": name(spec.sequence), "namespace": "yunting-system"}, "spec": spec})
        };
        all.into_iter().map(object).collect()
    }

    fn said(items: &[Value], known: &[&str]) -> (bool, String) {
        let text = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let known: Vec<String> = known.iter().map(|k| (*k).to_owned()).collect();
        let mut out = Vec::new();
        let good = check(&text, &known, &mut out).is_ok();
        (good, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_whole_chain_is_told_with_its_head_and_what_it_does_not_prove() {
        let items = list(3);
        let head = items[2]["spec"]["hash"].as_str().unwrap();
        let (good, text) = said(&items, &[head]);
        assert!(
            good && text.contains(&format!("--known {head}")) && text.contains("deletion-2: not every key"),
            "{text}"
        );
        assert!(said(&[], &[]).0);
    }

    #[test]
    fn a_link_that_is_changed_added_to_or_cut_off_fails() {
        let items = list(3);
        let mut changed = items.clone();
        changed[1]["spec"]["vdc"] = "other".into();
        assert!(!said(&changed, &[]).0);
        let mut more = items.clone();
        more[1]["spec"]["note"] = "all is well".into();
        assert!(!said(&more, &[]).0);
        assert!(said(&items[..2], &[]).0, "nobody knows of the third");
        let head = items[2]["spec"]["hash"].as_str().unwrap();
        let (good, text) = said(&items[..2], &[head]);
        assert!(!good && text.contains(head), "{text}");
        assert!(check("no list", &[], &mut Vec::new()).is_err());
    }
}
