//! `make demo`: builds nothing itself; starts the lab, applies the Bozhou sample and shows what happens.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

use clap::Parser;

/// Shows Yunting's main job on three real sites.
#[derive(Parser)]
#[command(name = "yunting-demo", version)]
struct Arguments {
    /// Name of the lab.
    #[arg(long, env = "YUNTING_LAB", default_value = "yunting")]
    name: String,
    /// The sample, scaled to the lab.
    #[arg(long, default_value = "crds/samples/bozhou/lab")]
    samples: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider was installed first");
    }
    yunting_tests::demo::story::tell(&arguments.name, &arguments.samples).await
}
