//! The API reference as HTML, made from the OpenAPI document.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::Value;

use super::escaped;

const PAGE: &str = include_str!("reference.html");

/// Operations by tag, in the order of their paths.
pub(super) fn page(document: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let mut by_tag: BTreeMap<&str, String> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or("Other");
            by_tag.entry(tag).or_default().push_str(&entry(method, path, operation));
        }
    }
    let (mut sections, mut operations) = (String::new(), String::new());
    for (tag, entries) in by_tag {
        let (title, anchor) = (escaped(tag), anchor(tag));
        // Writing to a string cannot fail.
        let _ = write!(sections, "<a href=\"#{anchor}\">{title}</a> ");
        let _ = write!(operations, "<h2 id=\"{anchor}\">{title}</h2>\n<dl>\n{entries}</dl>\n");
    }
    PAGE.replace("{sections}", &sections).replace("{operations}", &operations)
}

/// The tag's name in a link to its section.
fn anchor(tag: &str) -> String {
    tag.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn entry(method: &str, path: &str, operation: &Value) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let arguments = operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query");
    let arguments: Vec<String> =
        arguments.map(|p| format!("<code>{}</code> {}", text(&p["name"]), text(&p["description"]))).collect();
    let body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
    let body = body.and_then(|schema| schema.rsplit('/').next());
    let mut details = text(&operation["summary"]);
    if !arguments.is_empty() {
        let _ = write!(details, "; arguments: {}", arguments.join(", "));
    }
    if let Some(body) = body {
        let _ = write!(details, "; body: <code>{}</code>", escaped(body));
    }
    format!("<dt><code>{} {}</code></dt><dd>{details}</dd>\n", method.to_uppercase(), escaped(path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_stand_under_their_tags_and_text_is_no_markup() {
        let operation = |summary: &str, tag: &str| {
            json!({"summary": summary, "tags": [tag], "parameters": [
                {"in": "path", "name": "id"}, {"in": "query", "name": "limit", "description": "at most"}]})
        };
        let document = json!({"paths": {
            "/b/{id}": {"get": operation("Second <b>", "Z & others")},
            "/a": {"get": operation("First", "A")},
        }});
        let page = page(&document.to_string());
        assert!(page.find("First").unwrap() < page.find("Second &lt;b&gt;").unwrap());
        assert!(page.contains("<a href=\"#z---others\">Z &amp; others</a>"));
        assert!(page.contains("<h2 id=\"z---others\">Z &amp; others</h2>"));
        assert!(page.contains("<code>GET /b/{id}</code>") && page.contains("<code>limit</code> at most"));
        assert!(!page.contains("<code>id</code>"));
    }
}
