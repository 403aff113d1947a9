//! The command line: what a person types, nothing of how it is done.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

use crate::gateway;
use crate::issuer::{self, TokenArgs};

/// Real Kubernetes sites on one machine: three of them, a hub over all, and a WAN that can be cut.
#[derive(Debug, Parser)]
#[command(name = "yunting-lab", version)]
pub struct Cli {
    /// The lab's name; labs of different names run side by side.
    #[arg(long, global = true, env = "YUNTING_LAB", default_value = "yunting")]
    pub name: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Binaries of ours that a lab runs; by default those beside this program.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Programs {
    /// The binary of our controllers.
    #[arg(long, env = "YUNTING_CONTROLLER_BIN")]
    pub controller_bin: Option<PathBuf>,
    /// The binary of the demo workload.
    #[arg(long, env = "YUNTING_HALL_BIN")]
    pub hall_bin: Option<PathBuf>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Start.
    Start,
    /// Stop.
    Stop,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the lab, or finish what an earlier start began.
    Up {
        /// How many sites, one to three.
        #[arg(long, default_value_t = 3)]
        sites: usize,
        /// The clusters only, without anything of Yunting.
        #[arg(long)]
        bare: bool,
        /// The binaries of our controllers and of the demo workload.
        #[command(flatten)]
        programs: Programs,
    },
    /// Apply Yunting's kinds, policies and roles to hub and sites, and start our controllers.
    Install {
        /// The binaries of our controllers and of the demo workload.
        #[command(flatten)]
        programs: Programs,
    },
    /// Start or stop our controllers at every site.
    Controllers {
        /// What to do.
        action: Switch,
    },
    /// End the lab and remove everything it made.
    Down,
    /// Show sites, processes and forwards.
    Status,
    /// Print the path of a kubeconfig.
    Kubeconfig {
        /// A site, or `hub`.
        place: String,
    },
    /// Take a site off the WAN, or part it from one other site.
    Cut {
        /// The site.
        site: String,
        /// Part it from this site only.
        #[arg(long)]
        from: Option<String>,
        /// Lose only what the site sends; what others send still arrives.
        #[arg(long)]
        one_way: bool,
    },
    /// Undo cuts: of one site, or all.
    Heal {
        /// The site.
        site: Option<String>,
    },
    /// Delay everything a site sends and receives on the WAN.
    Delay {
        /// The site.
        site: String,
        /// Milliseconds in each direction; 0 ends it.
        millis: u64,
    },
    /// Cut a site's power: processes and everything unsynced are gone at once.
    Poweroff {
        /// The site.
        site: String,
    },
    /// Switch a site on again, with what its disk holds.
    Poweron {
        /// The site.
        site: String,
    },
    /// Stop a process with SIGSTOP.
    Pause {
        /// The site.
        site: String,
        /// The process, as `status` names it.
        process: String,
    },
    /// Let a paused process go on.
    Resume {
        /// The site.
        site: String,
        /// The process.
        process: String,
    },
    /// Kill a process with SIGKILL; the site starts it again.
    Kill {
        /// The site.
        site: String,
        /// The process.
        process: String,
    },
    /// End one process of a site and keep it ended until `start`.
    Stop {
        /// The site.
        site: String,
        /// The process.
        process: String,
    },
    /// Start a process that was stopped.
    Start {
        /// The site.
        site: String,
        /// The process.
        process: String,
    },
    /// Print what a process wrote.
    Logs {
        /// The site.
        site: String,
        /// The process, or `site` for the site's own first process.
        process: String,
    },
    /// Run a command inside a site.
    Exec {
        /// The site.
        site: String,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Print a token of a person, signed by the lab's issuer.
    Token(TokenArgs),
    /// The gateway of a site; started by its supervisor.
    #[command(hide = true)]
    Gateway(gateway::Args),
    /// The token issuer of a site; started by its supervisor.
    #[command(hide = true)]
    Issuer(issuer::Args),
    /// The first process of a site; started by `up`.
    #[command(hide = true)]
    SiteInit {
        /// The site.
        site: String,
    },
    /// The supervisor of a site; started by its first process.
    #[command(hide = true)]
    SiteRun {
        /// The site.
        site: String,
    },
    /// Brings images into the site this runs in; started by `up`.
    #[command(hide = true)]
    SiteImages {
        /// The site.
        site: String,
    },
    /// The relay in a site's cable; started by `delay`.
    #[command(hide = true)]
    Relay {
        /// The site.
        site: String,
        /// Milliseconds in each direction.
        millis: u64,
    },
    /// The forwarder; started by `up`.
    #[command(hide = true)]
    Forward,
}
