//! Identity and configuration of a component: ServiceAccount, files, environment, and the hash that rolls its pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector, ServiceAccount,
};
use yunting_crds::names::long_hash;

use super::{ValidComponent, ValidHallSlice};
use crate::object::Object;
use crate::vdc::SiteFacts;

/// An account of its own without a token: its pods are nobody at the API server.
pub(super) fn service_account(hall: &ValidHallSlice, c: &ValidComponent) -> Object {
    Object::new(&ServiceAccount {
        metadata: hall.metadata(c),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

/// Key of a file in the component's `ConfigMap`.
pub(super) fn file_key(path: &str) -> String {
    format!("f-{}", long_hash(path.as_bytes()))
}

/// Its files, if it has any.
pub(super) fn files(hall: &ValidHallSlice, c: &ValidComponent) -> Option<Object> {
    if c.spec.config_files.is_empty() {
        return None;
    }
    let data = c.spec.config_files.iter().map(|f| (file_key(&f.path), f.content.clone())).collect();
    Some(Object::new(&ConfigMap { metadata: hall.metadata(c), data: Some(data), ..ConfigMap::default() }))
}

/// Changes when a file or a Secret that the pods read changes.
pub(super) fn hash(c: &ValidComponent) -> String {
    let file = |f: &yunting_crds::hall::ConfigFile| {
        format!("{}:{}:{}:{};", f.path.len(), f.path, f.content.len(), f.content)
    };
    let secret = |(name, copy): (&String, &super::SecretCopy)| format!("{name}:{};", copy.hash);
    let text: String = c.spec.config_files.iter().map(file).chain(c.secrets.iter().map(secret)).collect();
    long_hash(text.as_bytes())
}

/// Yunting's variables, then the component's own, so that `$(NAME)` in its values finds ours. A name that the
/// component gives itself is its own.
pub(super) fn environment(hall: &ValidHallSlice, c: &ValidComponent, site: &SiteFacts) -> Vec<EnvVar> {
    let mut all = vec![
        field("POD_NAME", "metadata.name"),
        field("NODE_NAME", "spec.nodeName"),
        plain("YUNTING_SITE", site.site.as_str()),
        plain("YUNTING_HALL", hall.name.as_str()),
    ];
    for called in c.calls.iter().filter_map(|i| hall.components.get(*i)) {
        let Some(port) = called.spec.ports.first() else { continue };
        let prefix = format!("CALL_{}", called.name.as_str().replace('-', "_").to_ascii_uppercase());
        all.push(plain(&format!("{prefix}_HOST"), &format!("{}.{}.svc", called.object, called.namespace)));
        all.push(plain(&format!("{prefix}_PORT"), &port.port.to_string()));
    }
    all.retain(|ours| !c.spec.env.iter().any(|e| e.name == ours.name));
    all.extend(c.spec.env.iter().map(|e| own(c, e)));
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (i, variable) in all.iter().enumerate() {
        last.insert(variable.name.clone(), i);
    }
    let unique = all.into_iter().enumerate().filter(|(i, v)| last.get(&v.name) == Some(i));
    unique.map(|(_, v)| v).collect()
}

fn own(c: &ValidComponent, variable: &yunting_crds::hall::EnvVar) -> EnvVar {
    let secret = variable.secret_key.as_ref().and_then(|key| c.secrets.get(&key.name).map(|s| (s, key)));
    match secret {
        Some((copy, key)) => EnvVar {
            name: variable.name.clone(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: copy.name.clone(),
                    key: key.key.clone(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
        },
        None => plain(&variable.name, variable.value.as_deref().unwrap_or_default()),
    }
}

/// An empty value is left out, as an API server does.
fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()).filter(|v| !v.is_empty()),
        value_from: None,
    }
}

fn field(name: &str, path: &str) -> EnvVar {
    let selector = ObjectFieldSelector { field_path: path.to_owned(), ..ObjectFieldSelector::default() };
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(selector), ..EnvVarSource::default() }),
    }
}
