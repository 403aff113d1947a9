//! The installation manifests against a real API server: every policy refuses what it must and lets through what it
//! must, every role gives what the table of roles says, and Kubernetes' own controllers do their work beside them.
//!
//! A refusal is worth something only if nothing else would have refused: each refused request is sent a second time
//! with the policies' bindings gone, and must then be accepted.
// Tests may panic; objects are built where they are sent, and a patch goes to a path.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value, clippy::similar_names)]

#[path = "policies/case.rs"]
mod case;
#[path = "policies/flows.rs"]
mod flows;
#[path = "policies/hub.rs"]
mod hub;
#[path = "policies/hub_fixtures.rs"]
mod hub_fixtures;
#[path = "policies/hub_members.rs"]
mod hub_members;
#[path = "policies/nodes.rs"]
mod nodes;
#[path = "policies/objects.rs"]
mod objects;
#[path = "policies/rights.rs"]
mod rights;
#[path = "policies/rights_site.rs"]
mod rights_site;
#[path = "policies/site.rs"]
mod site;
#[path = "policies/site_fixtures.rs"]
mod site_fixtures;
#[path = "policies/volumes.rs"]
mod volumes;
#[path = "policies/ways_in.rs"]
mod ways_in;
#[path = "policies/workloads.rs"]
mod workloads;

use yunting_tests::apiserver::{ApiServer, Beside};

use case::{Place, Table, apply, install};

#[tokio::test]
async fn the_hub_refuses_what_it_must_and_nothing_else() {
    let server = ApiServer::start(Beside::Nothing).await.unwrap();
    install(&server, Place::Crds("hub")).await;
    apply(&server, hub_fixtures::objects()).await;
    hub_fixtures::statuses(&server).await;
    install(&server, Place::Manifests("hub")).await;
    Table::new(hub::cases()).check(&server, "hub").await;
}

#[tokio::test]
async fn a_site_refuses_what_it_must_and_nothing_else() {
    let server = ApiServer::start(Beside::Nothing).await.unwrap();
    install(&server, Place::Crds("site")).await;
    apply(&server, site_fixtures::objects()).await;
    install(&server, Place::Manifests("site")).await;
    let cases =
        [site::cases(), workloads::cases(), volumes::cases(), nodes::cases(), ways_in::cases()].concat();
    Table::new(cases).check(&server, "site").await;
}

#[tokio::test]
async fn roles_give_what_the_table_of_roles_says() {
    let hub = ApiServer::start(Beside::Nothing).await.unwrap();
    install(&hub, Place::Crds("hub")).await;
    install(&hub, Place::Manifests("hub")).await;
    rights::hub(&hub).await;
    let site = ApiServer::start(Beside::Nothing).await.unwrap();
    install(&site, Place::Manifests("site")).await;
    rights_site::site(&site).await;
}

#[tokio::test]
async fn a_vdc_lives_at_a_site_beside_kubernetes_own_controllers() {
    let server = ApiServer::start(Beside::Controllers).await.unwrap();
    install(&server, Place::Crds("site")).await;
    install(&server, Place::Manifests("site")).await;
    flows::policies_are_well_typed(&server).await;
    flows::life_of_a_vdc(&server).await;
}

#[tokio::test]
async fn a_bureau_lives_at_the_hub_beside_kubernetes_own_controllers() {
    let server = ApiServer::start(Beside::Controllers).await.unwrap();
    install(&server, Place::Crds("hub")).await;
    install(&server, Place::Manifests("hub")).await;
    flows::policies_are_well_typed(&server).await;
    flows::life_of_a_bureau(&server).await;
}

#[tokio::test]
async fn one_cluster_can_be_hub_and_site() {
    let server = ApiServer::start(Beside::Nothing).await.unwrap();
    for part in ["hub", "site"] {
        install(&server, Place::Crds(part)).await;
        install(&server, Place::Manifests(part)).await;
    }
    flows::hub_and_site_in_one(&server).await;
}
