//! The page residents see: one HTML document with its style inside and nothing from elsewhere.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::case::{Case, State};
use crate::settings::Settings;

const STYLE: &str = include_str!("page.css");

/// Things residents apply for; the field takes others, too.
const ITEMS: [&str; 6] =
    ["生育登记", "居住证办理", "个体工商户登记", "不动产权证", "社会保障卡", "建筑施工许可"];

/// The whole page. Without cases the back end was not reachable, and the page says so.
pub fn page(settings: &Settings, cases: Option<&[Case]>, message: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="zh-CN" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (settings.hall_name) " · 网上办事" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.city { "亳州市网上政务服务" }
                    h1 { (settings.hall_name) }
                }
                main {
                    @if let Some(message) = message { p.notice role="status" { (message) } }
                    (form())
                    (progress(cases))
                }
                (footer(settings))
            }
        }
    }
}

fn form() -> Markup {
    html! {
        section {
            h2 { "我要申办" }
            form method="post" action="/" {
                label { span { "事项" }
                    input name="item" list="items" required maxlength="100" placeholder="例如：生育登记"; }
                datalist id="items" { @for item in ITEMS { option value=(item) {} } }
                label { span { "申请人" }
                    input name="applicant" required maxlength="100" autocomplete="name" placeholder="姓名或单位"; }
                button type="submit" { "提交申请" }
            }
        }
    }
}

fn progress(cases: Option<&[Case]>) -> Markup {
    html! {
        section {
            h2 { "办件进度" }
            @match cases {
                None => p.problem role="alert" { "审批系统暂时联系不上，已提交的申请不会丢失，请稍后刷新。" },
                Some([]) => p.empty { "还没有办件。" },
                Some(cases) => @for case in cases { (card(case)) },
            }
        }
    }
}

fn card(case: &Case) -> Markup {
    html! {
        article {
            div.head {
                strong { (case.item) }
                span.state.done[case.state == State::Collected] { (case.state.name()) }
            }
            p.meta {
                "编号 " (case.id) " · " (case.masked_applicant()) " · " (time(case.filed_at)) " 提交"
            }
            ol.line {
                @for state in State::ALL {
                    @let class = class_of(case, state);
                    li class=(class) aria-current=[(class == "now").then_some("step")] {
                        i {} span { (state.name()) }
                    }
                }
            }
        }
    }
}

/// How a state is drawn on a case's line: where it is, where it was, where it has not been.
fn class_of(case: &Case, state: State) -> &'static str {
    if case.state == state {
        "now"
    } else if case.history.contains(&state) {
        "past"
    } else if state < case.state {
        "skipped"
    } else {
        "ahead"
    }
}

fn footer(settings: &Settings) -> Markup {
    html! {
        footer {
            dl {
                div { dt { "站点" } dd { (settings.site) } }
                div { dt { "节点" } dd { (settings.node) } }
                div { dt { "容器组" } dd { (settings.pod) } }
            }
        }
    }
}

/// Time in Bozhou, which has no summer time.
fn time(seconds: i64) -> String {
    let zone = TimeZone::fixed(Offset::constant(8));
    Timestamp::from_second(seconds)
        .map(|time| time.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}
