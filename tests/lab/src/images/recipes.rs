//! What is in each image.
//!
//! All run as a numeric non-root user with a read-only root and need no capability, so that they pass Pod
//! Security `restricted`; what must be writable is an `emptyDir` or a volume of the pod.

use std::path::{Path, PathBuf};

use super::elf::{self, Host, Unpacked};
use super::oci::{Image, Start, digest};
use super::rootfs::{Node, Rootfs};
use super::{Error, Recipe, debian};

/// The user that programs without an own one run as.
const NOBODY: &str = "65532:65532";
const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/lib/postgresql/15/bin";

const BUSYBOX_PACKAGES: &[&str] = &["busybox", "libc6"];

/// PostgreSQL, the packages its programs' libraries come from, and a shell for the entry point. Written out
/// because apt's own closure would bring Perl and LLVM, which are not needed to serve.
const POSTGRES_PACKAGES: &[&str] = &[
    "postgresql-15",
    "postgresql-client-15",
    "busybox",
    "tzdata",
    "util-linux",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libpq5",
    "libzstd1",
    "liblz4-1",
    "liblzma5",
    "zlib1g",
    "libxml2",
    "libicu72",
    "libssl3",
    "libpam0g",
    "libaudit1",
    "libcap-ng0",
    "libcap2",
    "libsystemd0",
    "libgcrypt20",
    "libgpg-error0",
    "libgssapi-krb5-2",
    "libkrb5-3",
    "libk5crypto3",
    "libcom-err2",
    "libkrb5support0",
    "libkeyutils1",
    "libldap-2.5-0",
    "libsasl2-2",
    "libgnutls30",
    "libp11-kit0",
    "libidn2-0",
    "libunistring2",
    "libtasn1-6",
    "libnettle8",
    "libhogweed6",
    "libgmp10",
    "libffi8",
    "libreadline8",
    "libtinfo6",
    "libuuid1",
];

/// PostgreSQL's programs that the image has: the server, its start, and what hooks and probes call.
const POSTGRES_PROGRAMS: &[&str] =
    &["postgres", "initdb", "pg_ctl", "pg_controldata", "pg_checksums", "pg_isready", "psql", "pg_dump"];

const POSTGRES_ENTRY: &str = include_str!("postgres-entry.sh");

/// All images of the lab.
pub(super) fn all<'a>(
    packages: &Path,
    hall_binary: &Path,
    log: &dyn Fn(&str),
) -> Result<Vec<Recipe<'a>>, Error> {
    let busybox = debian::packages(packages, BUSYBOX_PACKAGES, log)?;
    let postgres = debian::packages(packages, POSTGRES_PACKAGES, log)?;
    let hall = from_binary("localhost/yunting-hall", "yunting-hall", hall_binary)?;
    let pause_packages = busybox.clone();
    Ok(vec![
        Recipe {
            short: "pause",
            key: key(&busybox),
            make: Box::new(move || Ok(pause(busybox_rootfs(&pause_packages)?))),
        },
        Recipe {
            short: "busybox",
            key: key(&busybox),
            make: Box::new(move || Ok(busybox_image(busybox_rootfs(&busybox)?))),
        },
        Recipe { short: "hall", key: content_key(&hall.rootfs), make: Box::new(move || Ok(hall)) },
        Recipe {
            short: "postgres",
            key: format!("{} {}", key(&postgres), digest(POSTGRES_ENTRY.as_bytes())),
            make: Box::new(move || postgres_image(&postgres)),
        },
    ])
}

/// An image of one program compiled on this machine, with the libraries it names and what name look-ups
/// need. Made for programs that link the C library dynamically: its resolver cannot be linked statically.
pub fn from_binary(name: &str, program: &str, binary: &Path) -> Result<Image, Error> {
    let content =
        std::fs::read(binary).map_err(|source| Error::ReadProgram { path: binary.to_owned(), source })?;
    let mut rootfs = base();
    for (path, library) in elf::closure([(program, content.as_slice())], &Host)? {
        rootfs.insert(&path, Node::File(0o755, library));
    }
    let path = format!("/usr/local/bin/{program}");
    rootfs.insert(&path, Node::File(0o755, content));
    let start = Start {
        entrypoint: vec![path],
        environment: vec![PATH.into()],
        user: NOBODY.into(),
        ..Start::default()
    };
    Ok(Image { name: name.to_owned(), rootfs, start })
}

/// What each image has: accounts, name look-ups by files and DNS, places to mount writable directories.
fn base() -> Rootfs {
    Rootfs::new()
        .file(
            "/etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/sbin/nologin\n\
             postgres:x:70:70:postgres:/var/lib/postgresql:/bin/sh\n\
             nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
        )
        .file("/etc/group", 0o644, "root:x:0:\npostgres:x:70:\nnonroot:x:65532:\n")
        .file("/etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n")
        .directory("/tmp", 0o1777)
        .directory("/run", 0o755)
        .directory("/proc", 0o555)
        .directory("/sys", 0o555)
        .directory("/dev", 0o755)
}

/// The shell and its tools. Debian's `busybox`, not `busybox-static`: the static one crashes in name look-ups.
fn busybox_rootfs(packages: &[PathBuf]) -> Result<Rootfs, Error> {
    let mut unpacked = Rootfs::new();
    for package in packages {
        debian::unpack(package, &mut unpacked, is_program_or_library)?;
    }
    let mut rootfs = base();
    add_busybox(&mut rootfs, &unpacked)?;
    Ok(rootfs)
}

fn add_busybox(rootfs: &mut Rootfs, unpacked: &Rootfs) -> Result<(), Error> {
    let program = unpacked
        .read("bin/busybox")
        .or_else(|| unpacked.read("usr/bin/busybox"))
        .ok_or_else(|| Error::MissingPackage { name: "busybox".into() })?;
    for (path, library) in elf::closure([("busybox", program)], &Unpacked(unpacked))? {
        rootfs.insert(&path, Node::File(0o755, library));
    }
    rootfs.insert("/bin/busybox", Node::File(0o755, program.to_vec()));
    for applet in APPLETS {
        rootfs.insert(&format!("/bin/{applet}"), Node::Symlink("busybox".into()));
    }
    Ok(())
}

/// The applets with a name of their own in `/bin`; the others are there as `busybox NAME`.
const APPLETS: &[&str] = &[
    "sh", "ash", "awk", "basename", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dirname",
    "du", "echo", "env", "expr", "false", "find", "grep", "head", "hostname", "httpd", "id", "kill", "ln",
    "ls", "mkdir", "mktemp", "mv", "nc", "nslookup", "ping", "printf", "ps", "pwd", "rm", "rmdir", "sed",
    "seq", "sleep", "sort", "stat", "sync", "tail", "tar", "tee", "test", "timeout", "touch", "tr", "true",
    "uname", "wc", "wget", "which", "xargs",
];

/// The container that holds a pod's namespaces: it sleeps.
fn pause(rootfs: Rootfs) -> Image {
    let entrypoint = vec!["/bin/sleep".into(), "2147483647".into()];
    let start = Start { entrypoint, environment: vec![PATH.into()], user: NOBODY.into(), ..Start::default() };
    Image { name: "localhost/pause".into(), rootfs, start }
}

/// A shell for helper pods. It names no user: the volume helper must write as root.
fn busybox_image(rootfs: Rootfs) -> Image {
    let start = Start { command: vec!["/bin/sh".into()], environment: vec![PATH.into()], ..Start::default() };
    Image { name: "localhost/busybox".into(), rootfs, start }
}

fn postgres_image(packages: &[PathBuf]) -> Result<Image, Error> {
    let mut unpacked = Rootfs::new();
    for package in packages {
        debian::unpack(package, &mut unpacked, is_postgres)?;
    }
    let mut rootfs = base();
    add_busybox(&mut rootfs, &unpacked)?;
    let taken: Vec<(&str, &Node)> = unpacked.iter().filter(|(path, _)| is_postgres_file(path)).collect();
    let programs = taken.iter().filter_map(|&(path, node)| match node {
        Node::File(_, content) if content.starts_with(b"\x7fELF") => Some((path, content.as_slice())),
        _ => None,
    });
    for (path, library) in elf::closure(programs, &Unpacked(&unpacked))? {
        rootfs.insert(&path, Node::File(0o755, library));
    }
    for (path, node) in taken {
        rootfs.insert(path, node.clone());
    }
    let rootfs = rootfs
        .file("/usr/local/bin/postgres-entry", 0o755, POSTGRES_ENTRY)
        .directory("/var/lib/postgresql", 0o777)
        .directory("/run/postgresql", 0o777);
    Ok(Image { name: "localhost/postgres".into(), rootfs, start: postgres_start() })
}

fn postgres_start() -> Start {
    Start {
        entrypoint: vec!["/usr/local/bin/postgres-entry".into()],
        command: Vec::new(),
        environment: vec![
            PATH.into(),
            "PGDATA=/var/lib/postgresql/data".into(),
            "PGHOST=/run/postgresql".into(),
        ],
        user: "70:70".into(),
        // PostgreSQL's "fast" shutdown: on SIGTERM it would wait for its clients to leave.
        stop_signal: "SIGINT".into(),
    }
}

fn is_program_or_library(path: &str) -> bool {
    ["bin/", "usr/bin/", "lib/", "lib64/", "usr/lib/"].iter().any(|prefix| path.starts_with(prefix))
        && !path.starts_with("usr/lib/postgresql/15/lib/bitcode")
        && !path.contains("llvmjit")
}

fn is_postgres(path: &str) -> bool {
    is_program_or_library(path) || path.starts_with("usr/share/")
}

/// Which of PostgreSQL's own files the image keeps: its programs, modules that need no further language, data.
fn is_postgres_file(path: &str) -> bool {
    const HOME: &str = "usr/lib/postgresql/15/";
    const LEFT_OUT: &[&str] = &["pgxml.so", "sepgsql.so"];
    if path == "usr/bin/flock" {
        return true;
    }
    if let Some(program) = path.strip_prefix(HOME).and_then(|rest| rest.strip_prefix("bin/")) {
        return POSTGRES_PROGRAMS.contains(&program);
    }
    if let Some(module) = path.strip_prefix(HOME).and_then(|rest| rest.strip_prefix("lib/")) {
        let is_module = Path::new(module).extension().is_some_and(|extension| extension == "so");
        return is_module && !module.contains('/') && !LEFT_OUT.contains(&module);
    }
    let shared = path.starts_with("usr/share/postgresql/15/") && !path.contains("/man/");
    let zones = path.starts_with("usr/share/zoneinfo/")
        && !path.starts_with("usr/share/zoneinfo/right")
        && !path.starts_with("usr/share/zoneinfo/posix");
    shared || zones
}

/// Debian's archive never changes a file of a given name, so names are enough to tell packages apart.
fn key(packages: &[PathBuf]) -> String {
    let names: Vec<_> = packages.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    names.join(" ")
}

fn content_key(rootfs: &Rootfs) -> String {
    let line = |(path, node): (&str, &Node)| match node {
        Node::File(mode, content) => format!("{path} {mode:o} {}\n", digest(content)),
        Node::Symlink(target) => format!("{path} -> {target}\n"),
        Node::Directory(mode) => format!("{path}/ {mode:o}\n"),
    };
    rootfs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_keeps_programs_modules_and_data() {
        assert!(is_postgres_file("usr/lib/postgresql/15/bin/postgres"));
        assert!(!is_postgres_file("usr/lib/postgresql/15/bin/pg_upgrade"));
        assert!(is_postgres_file("usr/lib/postgresql/15/lib/plpgsql.so"));
        assert!(!is_postgres_file("usr/lib/postgresql/15/lib/pgxs/src/x.so"));
        assert!(!is_postgres_file("usr/share/doc/postgresql-15/README"));
        assert!(is_postgres_file("usr/share/zoneinfo/Asia/Shanghai"));
    }

    #[test]
    fn an_image_of_a_binary_has_its_loader_and_no_root_user() {
        let image = from_binary("localhost/x", "x", &std::env::current_exe().unwrap()).unwrap();
        assert_eq!(image.start.user, "65532:65532");
        assert!(image.rootfs.iter().any(|(path, _)| path.contains("ld-linux")));
        assert!(image.rootfs.get("/usr/local/bin/x").is_some());
    }
}
