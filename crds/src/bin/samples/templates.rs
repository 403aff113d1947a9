//! The catalogue: three presets.

use yunting_crds::vdc::{DrReserve, DrReserveMode, IngressSource, Isolation};
use yunting_crds::{VdcTemplate, VdcTemplateSpec};

use super::data::Class;
use super::scale::Scale;

/// The presets, smallest first.
pub fn templates(scale: Scale) -> Vec<VdcTemplate> {
    vec![
        template(
            scale,
            Class::Small,
            "small",
            "小型",
            "部门内部小应用：单站点，无灾备预留。",
            DrReserveMode::None,
        ),
        template(
            scale,
            Class::Medium,
            "medium",
            "中型",
            "一般业务系统：备用站点按主用站点全额预留。",
            DrReserveMode::Full,
        ),
        template(
            scale,
            Class::Large,
            "large",
            "大型",
            "全市共享数据库与重点业务：备用站点全额预留。",
            DrReserveMode::Full,
        ),
    ]
}

fn template(
    scale: Scale,
    class: Class,
    name: &str,
    display: &str,
    text: &str,
    mode: DrReserveMode,
) -> VdcTemplate {
    let spec = VdcTemplateSpec {
        display_name: display.to_owned(),
        description: Some(text.to_owned()),
        quota: scale.template(class),
        dr_reserve: Some(DrReserve { mode, fixed: None }),
        isolation: Some(Isolation {
            egress: Vec::new(),
            ingress_from: vec![IngressSource::Portal],
            allow_load_balancer: false,
        }),
    };
    VdcTemplate::new(name, spec)
}
