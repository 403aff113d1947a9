//! Tests of the hall program through its routes.

use axum::body::Body;
use axum::http::{Method, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

fn settings(arguments: &[&str]) -> Settings {
    Settings::try_parse_from(["hall"].iter().chain(arguments)).unwrap()
}

fn hall(arguments: &[&str]) -> (Router, watch::Sender<bool>) {
    let (leave, leaving) = watch::channel(false);
    (router(app(settings(arguments), leaving).unwrap()), leave)
}

async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    kind: &str,
    body: &str,
) -> (StatusCode, Response<String>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(body.to_owned()))
        .unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, Response::from_parts(parts, text))
}

async fn json(router: &Router, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let (status, response) = ask(router, method, path, "application/json", body).await;
    (status, serde_json::from_str(response.body()).unwrap_or(Value::Null))
}

/// A back end on a port of its own, with its address.
async fn back_end() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, leave) = hall(&["approval"]);
    tokio::spawn(async move {
        let _leave = leave;
        axum::serve(listener, router).await
    });
    format!("http://{address}")
}

const FILING: &str = r#"{"item": "生育登记", "applicant": "王小明"}"#;

#[tokio::test]
async fn a_case_is_filed_shown_and_moved_to_its_end() {
    let (hall, _leave) = hall(&["approval"]);
    let (status, case) = json(&hall, Method::POST, "/cases", FILING).await;
    assert_eq!((status, &case["state"]), (StatusCode::CREATED, &json!("applied")));
    let mut moves = 0;
    while json(&hall, Method::POST, "/cases/1/advance", "").await.0 == StatusCode::OK {
        moves += 1;
    }
    let (_, case) = json(&hall, Method::GET, "/cases/1", "").await;
    assert_eq!((moves, &case["state"]), (5, &json!("collected")));
    assert_eq!(case["history"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn the_back_end_refuses_what_makes_no_sense() {
    let (hall, _leave) = hall(&["approval"]);
    json(&hall, Method::POST, "/cases", FILING).await;
    for (path, body, expected) in [
        ("/cases/1/advance", r#"{"to": "closed"}"#, StatusCode::CONFLICT),
        ("/cases/9/advance", "", StatusCode::NOT_FOUND),
        ("/cases", r#"{"item": "", "applicant": "王"}"#, StatusCode::UNPROCESSABLE_ENTITY),
        ("/cases", "{", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(json(&hall, Method::POST, path, body).await.0, expected, "{path} {body}");
    }
}

#[tokio::test]
async fn the_page_is_chinese_escapes_names_and_says_who_answered() {
    let back_end = back_end().await;
    let (hall, _leave) = hall(&[
        "portal",
        "--approval-url",
        &back_end,
        "--hall-name",
        "谯城厅",
        "--pod",
        "p-1",
        "--site",
        "qiaocheng",
    ]);
    let kind = "application/x-www-form-urlencoded";
    let (status, answer) =
        ask(&hall, Method::POST, "/", kind, "item=%3Cb%3Ex&applicant=%E7%8E%8B%E5%B0%8F").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[header::LOCATION], "/?filed=1");
    let (status, answer) = ask(&hall, Method::GET, "/?filed=1", kind, "").await;
    assert_eq!(
        (status, &answer.headers()["x-yunting-pod"]),
        (StatusCode::OK, &HeaderValue::from_static("p-1"))
    );
    let page = answer.body();
    for part in ["lang=\"zh-CN\"", "谯城厅", "领取登记", "&lt;b&gt;x", "王*", "编号 1", "qiaocheng", "p-1"]
    {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("王小"));
}

#[tokio::test]
async fn without_a_back_end_the_page_still_comes_and_the_api_says_so() {
    let (hall, _leave) = hall(&["portal", "--approval-url", "http://127.0.0.1:1"]);
    let (status, answer) = ask(&hall, Method::GET, "/", "", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.body().contains("审批系统暂时联系不上"));
    assert_eq!(json(&hall, Method::GET, "/api/cases", "").await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(json(&hall, Method::GET, "/healthz", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_api_passes_refusals_on() {
    let back_end = back_end().await;
    let (hall, _leave) = hall(&["portal", "--approval-url", &back_end]);
    let (status, case) = json(&hall, Method::POST, "/api/cases", FILING).await;
    assert_eq!((status, &case["id"]), (StatusCode::CREATED, &json!(1)));
    let (status, _) = json(&hall, Method::POST, "/api/cases", r#"{"item": " ", "applicant": "王"}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn faults_are_served_only_when_allowed() {
    let (hall, _leave) = hall(&["approval"]);
    assert_eq!(json(&hall, Method::PUT, "/faults", "{}").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn faults_fail_work_and_health_but_not_liveness() {
    let (hall, _leave) = hall(&["approval", "--allow-faults", "true"]);
    let plan = r#"{"failPercent": 100, "failHealth": true}"#;
    assert_eq!(json(&hall, Method::PUT, "/faults", plan).await.0, StatusCode::OK);
    assert_eq!(json(&hall, Method::GET, "/cases", "").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(json(&hall, Method::GET, "/healthz", "").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json(&hall, Method::GET, "/livez", "").await.0, StatusCode::OK);
    assert_eq!(json(&hall, Method::PUT, "/faults", "{}").await.1["failPercent"], json!(0));
    assert_eq!(json(&hall, Method::GET, "/cases", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_leaving_hall_is_not_ready_but_still_serves() {
    let (hall, leave) = hall(&["approval"]);
    leave.send_replace(true);
    assert_eq!(json(&hall, Method::GET, "/healthz", "").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json(&hall, Method::GET, "/cases", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_database_that_is_away_makes_the_back_end_unready_at_once() {
    let (hall, _leave) = hall(&["approval", "--database-url", "postgres://hall:x@127.0.0.1:1/hall"]);
    let (status, health) = json(&hall, Method::GET, "/healthz", "").await;
    assert_eq!((status, &health["store"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("postgresql")));
    assert_eq!(json(&hall, Method::POST, "/cases", FILING).await.0, StatusCode::SERVICE_UNAVAILABLE);
}
