//! Doing what the command line says.

use std::path::PathBuf;
use std::process::Command as Program;
use std::time::Duration;

use crate::cli::{Cli, Command, Programs, Switch};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::site::control::{Request, ask};
use crate::spec::Lab;
use crate::stock::Stock;
use crate::up::Options;
use crate::wan::Direction;
use crate::{forward, gateway, install, issuer, power, relay, site, state, status, stock, up, wan};

/// Does it; the number is what the program ends with.
pub async fn run(cli: Cli) -> Result<i32> {
    let name = cli.name.as_str();
    match cli.command {
        Command::Up { sites, bare, programs } => self::up(&Lab::new(name, sites)?, bare, programs).await,
        Command::Install { programs } => self::up(&state::open(name)?.0, false, programs).await,
        Command::Down => {
            up::down(name, &Progress::new())?;
            Ok(0)
        }
        Command::Gateway(args) => gateway::run(args).await.map(|()| 0).map_err(Error::part("the gateway")),
        Command::Issuer(args) => issuer::run(args).await.map(|()| 0).map_err(Error::part("the token issuer")),
        Command::SiteRun { site } => site::boot::run(name, &site).await.map(|()| 0),
        // These two have no runtime of their own business: they block this thread for good.
        Command::SiteInit { site } => site::init::run(name, &site),
        Command::Forward => forward::run(&state::open(name)?.0).map(|()| 0),
        command => existing(name, command).await,
    }
}

async fn up(lab: &Lab, bare: bool, programs: Programs) -> Result<i32> {
    let progress = Progress::new();
    let hall = beside(programs.hall_bin, "yunting-hall")?;
    let controller = beside(programs.controller_bin, "yunting-controller")?;
    up::run(lab, &Options { bare, hall, controller }, &progress).await?;
    for (what, took) in progress.finish() {
        println!("{:>7.1} s  {what}", took.as_secs_f64());
    }
    println!("kubeconfigs: {}", lab.kubeconfigs().display());
    Ok(0)
}

/// The named binary, or the one that was built together with this program.
fn beside(named: Option<PathBuf>, program: &str) -> Result<PathBuf> {
    let own = || std::env::current_exe().map_err(Error::io("find the program", "/proc/self/exe"));
    named.map_or_else(|| Ok(own()?.with_file_name(program)), Ok)
}

/// Everything that needs a lab to be there.
async fn existing(name: &str, command: Command) -> Result<i32> {
    let (lab, state) = state::open(name)?;
    match command {
        Command::Controllers { action } => install::controllers(&lab, &state, action == Switch::Start)?,
        Command::SiteImages { site } => {
            stock::import_here(&Stock::read(&lab)?, &lab.site_dir(lab.site(&site)?))?;
        }
        Command::Token(args) => {
            println!("{}", issuer::token(&args, &lab.pki()).map_err(Error::part("the token"))?);
        }
        Command::Status => println!("{}", status::table(&lab, &state)?),
        Command::Kubeconfig { place } => println!("{}", kubeconfig(&lab, &place)?),
        Command::Cut { site, from, one_way } => cut(&lab, &site, from.as_deref(), one_way)?,
        Command::Heal { site } => {
            let site = site.map(|site| lab.site(&site)).transpose()?;
            wan::heal(&lab, site)?;
        }
        Command::Delay { site, millis } => relay::set(&lab, lab.site(&site)?, Duration::from_millis(millis))?,
        Command::Relay { site, millis } => relay::run(&lab, lab.site(&site)?, Duration::from_millis(millis))?,
        Command::Poweroff { site } => power::off(&lab, lab.site(&site)?)?,
        Command::Poweron { site } => {
            let (site, progress) = (lab.site(&site)?, Progress::new());
            power::on(&lab, site)?;
            up::site_ready(&lab, site, &progress, std::time::Instant::now()).await?;
            progress.finish();
        }
        Command::Pause { site, process } => tell(&lab, &site, &Request::Pause(process))?,
        Command::Resume { site, process } => tell(&lab, &site, &Request::Resume(process))?,
        Command::Kill { site, process } => tell(&lab, &site, &Request::Kill(process))?,
        Command::Stop { site, process } => tell(&lab, &site, &Request::Stop(process))?,
        Command::Start { site, process } => tell(&lab, &site, &Request::Start(process))?,
        Command::Logs { site, process } => {
            let log = lab.site_dir(lab.site(&site)?).log(&process);
            let mut file = std::fs::File::open(&log).map_err(Error::io("read the log", &log))?;
            std::io::copy(&mut file, &mut std::io::stdout()).map_err(Error::io("print", &log))?;
        }
        Command::Exec { site, words } => return exec(&lab, &site, &words),
        _ => {}
    }
    Ok(0)
}

fn tell(lab: &Lab, site: &str, request: &Request) -> Result<()> {
    ask(&lab.site_dir(lab.site(site)?), request).map(drop)
}

fn kubeconfig(lab: &Lab, place: &str) -> Result<String> {
    let name = if place == "hub" { place } else { &lab.site(place)?.name };
    Ok(lab.kubeconfigs().join(format!("{name}.yaml")).display().to_string())
}

fn cut(lab: &Lab, site: &str, from: Option<&str>, one_way: bool) -> Result<()> {
    let site = lab.site(site)?;
    let from = from.map(|from| lab.site(from)).transpose()?;
    let direction = if one_way { Direction::OneWay } else { Direction::Both };
    if from.is_none() && !one_way { wan::cut(lab, site) } else { wan::part(lab, site, from, direction) }
}

/// Runs a command in all of the site's namespaces, with its terminal.
fn exec(lab: &Lab, site: &str, words: &[String]) -> Result<i32> {
    let pid = power::first_process(lab, lab.site(site)?)?.to_string();
    let bin = lab.dir.join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut nsenter = Program::new("nsenter");
    nsenter.args(["--target", &pid, "--mount", "--uts", "--pid", "--net", "--"]).args(words);
    nsenter.env("PATH", format!("{}:{path}", bin.display()));
    let status = nsenter.status().map_err(Error::io("enter the site", site))?;
    Ok(status.code().unwrap_or(1))
}
