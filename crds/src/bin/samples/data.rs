//! Reads the table of bureaus. Says line and reason of what is wrong in it.

use std::collections::BTreeSet;

use yunting_crds::names::BureauName;

use super::Error;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bureau {
    pub name: String,
    pub display_name: String,
    pub domain: String,
    pub class: Class,
    pub parent: Option<String>,
}

/// How much a bureau may use in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Small,
    Medium,
    Large,
    ExtraLarge,
}

/// Reads the table; lines that begin with `#` are comments.
pub fn parse(text: &str) -> Result<Vec<Bureau>, Error> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = |(index, text): (usize, &str)| line(text).map_err(|why| Error::Data { line: index + 1, why });
    let bureaus: Vec<Bureau> = lines.map(read).collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    for (index, bureau) in bureaus.iter().enumerate() {
        if !names.insert(&bureau.name) {
            return Err(Error::Data { line: index + 2, why: format!("{} is there twice", bureau.name) });
        }
    }
    Ok(bureaus)
}

fn line(text: &str) -> Result<Bureau, String> {
    let columns: Vec<&str> = text.split('\t').collect();
    let [name, display_name, domain, class, parent] = columns[..] else {
        return Err(format!("{} columns instead of 5", columns.len()));
    };
    BureauName::new(name).map_err(|error| error.to_string())?;
    Ok(Bureau {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        domain: domain.to_owned(),
        class: self::class(class).ok_or_else(|| format!("no quota class is called {class:?}"))?,
        parent: (parent != "-").then(|| parent.to_owned()),
    })
}

fn class(text: &str) -> Option<Class> {
    match text {
        "small" => Some(Class::Small),
        "medium" => Some(Class::Medium),
        "large" => Some(Class::Large),
        "xlarge" => Some(Class::ExtraLarge),
        _ => None,
    }
}
