//! Prints the StorageClass that a driver needs so that it encrypts, for whoever installs it. Asks no server and applies
//! nothing: what a driver of others does with it is not seen here.
#![allow(clippy::print_stdout)] // that is what it is for

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Args;
use yunting_plan::vdc::drivers::{Known, class, known, longhorn_secret, meaning};

/// What is asked for.
#[derive(Args)]
pub struct Options {
    /// Name of the class, as `Site.spec.providers.storage[].name` has it.
    #[arg(long)]
    name: String,
    /// Its driver, as `driver` beside it: `[<namespace>.]rbd.csi.ceph.com` or `driver.longhorn.io`.
    #[arg(long)]
    driver: String,
    /// What only the site knows, `<name>=<value>`: clusterID, pool, encryptionKMSID, secrets. What is missing is named.
    #[arg(long = "parameter")]
    parameters: Vec<String>,
    /// A namespace at the site for which the Secret of Longhorn's key is printed as well, without the key.
    #[arg(long = "namespace")]
    namespaces: Vec<String>,
}

/// Prints it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').with_context(|| format!("{text:?} is no <name>=<value>"))?;
        anyhow::Ok((name.to_owned(), value.to_owned()))
    };
    let given = options.parameters.iter().map(pair).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    let mut all = vec![class(&options.name, &options.driver, &given)?];
    if known(&options.driver) == Known::Longhorn {
        all.extend(options.namespaces.iter().map(|namespace| longhorn_secret(namespace)));
    }
    println!("# {}", meaning(&options.driver));
    for object in all {
        println!("---\n{}", serde_yaml::to_string(&object).context("cannot print it")?);
    }
    Ok(())
}
