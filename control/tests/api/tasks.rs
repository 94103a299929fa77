//! Tasks and the inventory (provisioner §2, §4.8).

use dataplane::node::{DriveConfig, DriveMedium};
use hyper::Method;
use serde_json::{Value, json};

use crate::common::{GIB, Running};

/// Whether a time is `yyyy-MM-dd'T'HH:mm:ss.SSS`.
fn is_date(value: &Value) -> bool {
    let shape: String =
        value.as_str().unwrap().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000"
}

#[tokio::test]
async fn what_was_asked_of_the_inventory_stands_among_the_tasks() {
    let running = Running::start().await;
    let client = running.client();
    assert_eq!(client.get("/tasks").await, json!([]));
    client.get("/inventory").await;
    let reset = client.delete("/reset_inventory").await;
    assert_eq!((&reset["status"], &reset["id"]), (&json!("Success"), &json!(1)));
    assert_eq!(client.delete("/reset_inventory").await["id"], 2);
    let tasks = client.get("/tasks").await;
    let types: Vec<&str> = tasks.as_array().unwrap().iter().map(|t| t["type"].as_str().unwrap()).collect();
    assert_eq!(types.len(), 3);
    assert_eq!((types[0], types.contains(&"ResetInventory")), ("FetchInventory", true));
    let mut task = tasks[0].clone();
    let id = task["taskId"].take().as_str().unwrap().to_owned();
    assert!(is_date(&task["startDate"].take()) && is_date(&task["endDate"].take()));
    let expected = json!({"taskId": null, "state": "FINISHED", "type": "FetchInventory", "progress": 100.0,
        "statusDescription": "the inventory was fetched", "startDate": null, "endDate": null,
        "stoppable": false, "taskConfiguration": []});
    assert_eq!(task, expected);
    assert_eq!(client.get(&format!("/tasks?taskId={id}")).await.as_array().unwrap().len(), 1);
    assert_eq!(client.get(&format!("/tasks?taskId={id}&hostId=h")).await, json!([]));
    assert_eq!(client.get("/tasks?hostId=h").await, json!([]));
}

#[tokio::test]
async fn tasks_are_refused_and_forgotten_with_the_contracts_codes() {
    let running = Running::start().await;
    let client = running.client();
    client.get("/inventory").await;
    let id = client.get("/tasks").await[0]["taskId"].as_str().unwrap().to_owned();
    for (body, code) in [
        (json!({"taskId": "no-task", "hostId": "h", "progress": 1}), "TaskNotFound"),
        (json!({"taskId": id, "hostId": "h", "state": "DONE"}), "UpdateTaskFailed"),
        (json!({"taskId": id, "hostId": "h", "type": "RemoteMigration"}), "UpdateTaskFailed"),
        (json!({"taskId": id, "hostId": "h", "state": "RUNNING"}), "TaskEnded"),
        (json!({"taskId": id}), "InvalidInput"),
        (json!({"taskId": id, "hostId": "h", "progress": 101}), "InvalidInput"),
    ] {
        let answer = client.put("/tasks", body.clone()).await;
        assert_eq!(answer["status"], code, "{body}: {answer}");
    }
    for (path, code) in [
        ("/tasks".to_owned(), "InvalidInput"),
        ("/tasks?taskId=no-task".to_owned(), "NoTask"),
        (format!("/tasks?taskId={id}&hostId=h"), "TaskBelongsToOtherHost"),
        (format!("/tasks?taskId={id}"), "Success"),
        (format!("/tasks?taskId={id}"), "NoTask"),
    ] {
        assert_eq!(client.delete(&path).await["status"], code, "{path}");
    }
    assert_eq!(client.send(Method::POST, "/tasks", "{}").await.status, 405);
}

#[tokio::test]
async fn the_inventory_shows_what_changed() {
    let running = Running::start().await;
    let client = running.client();
    let node = client.get("/backends").await[0]["persistentID"].clone();
    let version = env!("CARGO_PKG_VERSION");
    let backend =
        |ssds| json!({"hardwareId": node, "version": version, "state": "AVAILABLE", "numSSDs": ssds});
    let changes = |kind: &str, ssds: u64| {
        json!([{"change": kind, "tags": [{"name": "id", "value": node}, {"name": "version", "value": version},
            {"name": "state", "value": "AVAILABLE"}, {"name": "numSSDs", "value": ssds}]}])
    };
    let inventory = client.get("/inventory").await;
    let samples = inventory["inventorySamples"].as_array().unwrap();
    assert_eq!(samples.len(), 1);
    assert!(samples[0]["timestamp"].as_u64() > Some(1_700_000_000_000));
    assert_eq!((&samples[0]["backends"], &samples[0]["changes"]), (&json!([backend(1)]), &changes("NEW", 1)));

    let second = DriveMedium::Memory("second".to_owned());
    let drive = DriveConfig { size_bytes: Some(16 * GIB), ..DriveConfig::new(second) };
    running.node.add_drive(drive).await.unwrap();
    let samples = client.get("/inventory").await["inventorySamples"].clone();
    assert_eq!(samples.as_array().unwrap().len(), 2);
    assert_eq!(samples[1]["changes"], changes("MODIFIED", 2));
    assert_eq!(client.get("/inventory").await["inventorySamples"], samples, "asking is no change");

    client.delete("/reset_inventory").await;
    let samples = client.get("/inventory").await["inventorySamples"].clone();
    assert_eq!(samples.as_array().unwrap().len(), 1);
    assert_eq!(samples[0]["changes"], changes("NEW", 2));
}
