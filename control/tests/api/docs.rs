//! The pages for people (session.md §9).

use crate::common::Running;
use hyper::{Method, StatusCode};

/// Everything in quotes after `src=` or `href=`.
fn links(page: &str) -> Vec<&str> {
    let after = page.split(['=', ' ']).collect::<Vec<_>>();
    let pairs = after.windows(2).filter(|pair| pair[0] == "src" || pair[0] == "href");
    pairs.filter_map(|pair| pair[1].split('"').nth(1)).collect()
}

#[tokio::test]
async fn pages_and_all_that_they_load_come_from_here_without_a_login() {
    let running = Running::start().await;
    let stranger = running.stranger();
    for page in ["/docs/api", "/docs"] {
        let (status, kind, text) = stranger.raw(Method::GET, page, "").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/html; charset=utf-8"), "{page}");
        let links = links(&text);
        assert!(links.len() >= 3, "{page}: {links:?}");
        for link in links {
            if let Some(section) = link.strip_prefix('#') {
                assert!(text.contains(&format!("id=\"{section}\"")), "{page} has no section {section}");
                continue;
            }
            assert!(link.starts_with('/'), "{page} loads {link} from elsewhere");
            assert_eq!(stranger.raw(Method::GET, link, "").await.0, StatusCode::OK, "{page}: {link}");
        }
    }
    let (.., script) = stranger.raw(Method::GET, "/docs/api/swagger-ui-bundle.js", "").await;
    assert!(script.contains("SwaggerUIBundle") && script.len() > 1_000_000);
    assert_eq!(stranger.raw(Method::GET, "/docs/api/none.js", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_reference_names_every_path() {
    let running = Running::start().await;
    let (.., page) = running.stranger().raw(Method::GET, "/docs", "").await;
    let document = running.stranger().get("/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let line = format!("<code>{} {path}</code>", method.to_uppercase());
            assert!(page.contains(&line), "{line}");
        }
    }
}

#[tokio::test]
async fn the_root_is_a_page_for_browsers_only() {
    let running = Running::with(|config| config.node_name = "a<b".to_owned()).await;
    assert_eq!(running.stranger().get("/").await, serde_json::json!({"version": ["v1"]}));
    let (status, kind, _) = running.stranger().raw(Method::GET, "/favicon.ico", "").await;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "image/svg+xml"));
    let browser = running.stranger().accept("text/html,application/xhtml+xml;q=0.9");
    let (_, kind, page) = browser.raw(Method::GET, "/", "").await;
    assert_eq!(kind, "text/html; charset=utf-8");
    assert!(page.contains("a&lt;b") && page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    assert!(page.contains("/docs/api"));
    for link in links(&page) {
        assert_eq!(browser.raw(Method::GET, link, "").await.0, StatusCode::OK, "{link}");
    }
    // Nobody has logged in yet.
    running.client().volume("secret-name", 1).await;
    assert!(!browser.raw(Method::GET, "/", "").await.2.contains("secret-name"));
}
