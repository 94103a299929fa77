//! Tasks (provisioner §4.8).

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use serde_json::{Map, Value};
use time::{format_description::BorrowedFormatItem, macros::format_description};
use utoipa::ToSchema;

use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    fields::Fields,
    limits,
    model::task::{ReportRefused, Setting, TaskRecord, TaskReport, TaskState},
    openapi::{Answer, Status, bodies::TaskUpdate},
    request::{JsonBody, Query},
    state::{Change, Stored},
    store::StoreError,
    tasks, utc,
};

/// The contract's Task object; times in UTC.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TaskView {
    task_id: String,
    state: &'static str,
    #[serde(rename = "type")]
    task_type: &'static str,
    /// Absent: a task of the server itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<String>,
    /// Percent.
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    start_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    stoppable: bool,
    task_configuration: Vec<SettingView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SettingView {
    name: String,
    value: String,
}

impl From<TaskRecord> for TaskView {
    fn from(task: TaskRecord) -> Self {
        let setting = |Setting { name, value }| SettingView { name, value };
        Self {
            task_id: task.id.to_string(),
            state: task.state.name(),
            task_type: task.task_type.name(),
            host_id: task.host_id,
            progress: task.progress,
            task_status: task.status,
            status_description: task.description,
            start_date: date(task.start_ms),
            end_date: task.end_ms.map(date),
            stoppable: false,
            task_configuration: task.configuration.into_iter().map(setting).collect(),
        }
    }
}

const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]");

/// `2026-11-22T10:00:00.000`.
fn date(epoch_ms: u64) -> String {
    utc::text(epoch_ms, DATE).unwrap_or_default()
}

/// Op 42.
#[utoipa::path(get, path = "/tasks", tag = "Tasks", summary = "List tasks",
    params(("taskId" = Option<String>, Query, description = "only this one"), ("hostId" = Option<String>, Query, description = "only those of that host")),
    responses((status = 200, body = Answer<Vec<TaskView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, query: Query) -> Reply {
    let (id, host) = (query.get("taskId"), query.get("hostId"));
    let asked = |task: &TaskRecord| {
        id.is_none_or(|id| task.id.to_string().eq_ignore_ascii_case(id))
            && host.is_none_or(|host| task.host_id.as_deref() == Some(host))
    };
    let tasks = tasks::list(&app.state).await?.into_iter().map(|t| t.value).filter(asked);
    Ok(Json(tasks.map(TaskView::from).collect::<Vec<_>>()).into_response())
}

/// Op 43: what a host's agent has to say about its task.
#[utoipa::path(put, path = "/tasks", tag = "Tasks", summary = "Report on a task",
    request_body = TaskUpdate,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn update(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let update = Update::parse(&body)?;
    retry(|| apply(&app, &update)).await?;
    Ok(success())
}

#[derive(Debug, PartialEq)]
struct Update {
    task_id: String,
    host_id: String,
    /// The type that the agent takes it for: it cannot be changed.
    task_type: Option<String>,
    report: TaskReport,
}

impl Update {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        // The agent echoes what was absent as "N/A" (D46).
        let mut body = body.clone();
        body.retain(|_, value| *value != "N/A");
        let fields = Fields::new(&body);
        let required = |name| fields.require(name, fields.text(name, limits::NAME_CHARS)?);
        let text = |name| fields.text(name, limits::TASK_TEXT_CHARS);
        Ok(Self {
            task_id: required("taskId")?.to_owned(),
            host_id: required("hostId")?.to_owned(),
            task_type: fields.text("type", limits::NAME_CHARS)?.map(str::to_owned),
            report: TaskReport {
                state: fields.text("state", limits::NAME_CHARS)?.map(state).transpose()?,
                progress: progress(fields.raw("progress"))?,
                status: text("taskStatus")?.map(str::to_owned),
                description: text("statusDescription")?.map(str::to_owned),
                configuration: fields.raw("taskConfiguration").map(configuration).transpose()?,
            },
        })
    }
}

fn state(name: &str) -> Result<TaskState, Failure> {
    let known = TaskState::ALL.into_iter().find(|state| state.name() == name);
    known.ok_or_else(|| {
        let names = TaskState::ALL.map(TaskState::name).join(", ");
        Failure {
            code: Code::UpdateTaskFailed,
            ..Failure::of_field("state", format!("must be one of {names}"))
        }
    })
}

fn progress(given: Option<&Value>) -> Result<Option<f64>, Failure> {
    let Some(given) = given else { return Ok(None) };
    match given.as_f64().filter(|percent| (0.0..=100.0).contains(percent)) {
        Some(percent) => Ok(Some(percent)),
        None => Err(Failure::of_field("progress", "must be a number from 0 to 100")),
    }
}

fn configuration(given: &Value) -> Result<Vec<Setting>, Failure> {
    let text = |member: &Value, name: &str| Some(member.get(name)?.as_str()?.to_owned());
    let setting =
        |member: &Value| Some(Setting { name: text(member, "name")?, value: text(member, "value")? });
    let settings: Option<Vec<Setting>> =
        given.as_array().and_then(|members| members.iter().map(setting).collect());
    settings.filter(|settings| settings.len() <= limits::TASK_SETTINGS).ok_or_else(|| {
        let most = limits::TASK_SETTINGS;
        Failure::of_field("taskConfiguration", format!("must be at most {most} objects of name and value"))
    })
}

async fn find(app: &App, id: &str) -> Result<Option<Stored<TaskRecord>>, StoreError> {
    let tasks = tasks::list(&app.state).await?;
    Ok(tasks.into_iter().find(|task| task.value.id.to_string().eq_ignore_ascii_case(id)))
}

async fn apply(app: &App, update: &Update) -> Result<(), ApiError> {
    let Some(mut task) = find(app, &update.task_id).await? else {
        return Err(Failure::new(Code::TaskNotFound, format!("there is no task {:?}", update.task_id)).into());
    };
    let failed = |why: String| Err(Failure::new(Code::UpdateTaskFailed, why).into());
    let own = task.value.task_type.name();
    if update.task_type.as_deref().is_some_and(|given| given != own) {
        return failed(format!("type is {own} and cannot be changed"));
    }
    match task.value.report(&update.host_id, update.report.clone(), now_ms()) {
        Ok(()) => Ok(app.state.update(task).await.map(drop)?),
        Err(ReportRefused::Ended(state)) => {
            let why = format!("the task has ended: it is {}", state.name());
            Err(Failure::new(Code::TaskEnded, why).into())
        }
        Err(ReportRefused::OtherHost) => failed(format!("the task is not one of host {:?}", update.host_id)),
        Err(ReportRefused::Backwards(from, to)) => {
            failed(format!("state cannot go from {} to {}", from.name(), to.name()))
        }
    }
}

/// Op 44.
#[utoipa::path(delete, path = "/tasks", tag = "Tasks", summary = "Forget a task that has ended",
    params(("taskId" = String, Query, description = "which"), ("hostId" = Option<String>, Query, description = "only if it is one of that host")),
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn remove(State(app): State<SharedApp>, query: Query) -> Reply {
    let Some(id) = query.get("taskId") else { return Err(Failure::of_field("taskId", "is required").into()) };
    retry(|| forget(&app, id, query.get("hostId"))).await?;
    Ok(success())
}

async fn forget(app: &App, id: &str, host: Option<&str>) -> Result<(), ApiError> {
    let Some(task) = find(app, id).await? else {
        return Err(Failure::new(Code::NoTask, format!("there is no task {id:?}")).into());
    };
    may_forget(&task.value, host)?;
    Ok(app.state.commit(Change::default().remove(&task)).await?)
}

fn may_forget(task: &TaskRecord, host: Option<&str>) -> Result<(), Failure> {
    if host.is_some() && task.host_id.as_deref() != host {
        let why = format!("the task is not one of host {:?}", host.unwrap_or_default());
        return Err(Failure::new(Code::TaskBelongsToOtherHost, why));
    }
    if !task.state.has_ended() {
        return Err(Failure::new(Code::OngoingTask, format!("the task is {}", task.state.name())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::task::TaskType;

    fn parse(body: Value) -> Result<Update, Failure> {
        Update::parse(body.as_object().unwrap())
    }

    #[test]
    fn what_an_agent_echoes_is_absent() {
        let echoed = json!({"taskId": "t", "hostId": "h", "state": "RUNNING", "progress": 0.5,
            "taskStatus": "N/A", "statusDescription": "N/A", "type": "N/A",
            "taskConfiguration": [{"name": "volId", "value": "v"}]});
        let update = parse(echoed).unwrap();
        let setting = Setting { name: "volId".to_owned(), value: "v".to_owned() };
        let report = TaskReport {
            state: Some(TaskState::Running),
            progress: Some(0.5),
            configuration: Some(vec![setting]),
            ..TaskReport::default()
        };
        assert_eq!((update.report, update.task_type), (report, None));
    }

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("taskId", json!({"hostId": "h"})),
            ("hostId", json!({"taskId": "t", "hostId": "N/A"})),
            ("progress", json!({"taskId": "t", "hostId": "h", "progress": 100.5})),
            ("progress", json!({"taskId": "t", "hostId": "h", "progress": "1"})),
            (
                "taskConfiguration",
                json!({"taskId": "t", "hostId": "h", "taskConfiguration": [{"name": "a"}]}),
            ),
        ];
        for (field, body) in wrong {
            let failure = parse(body.clone()).unwrap_err();
            assert_eq!((failure.code, failure.field.as_deref()), (Code::InvalidInput, Some(field)), "{body}");
        }
        let failure = parse(json!({"taskId": "t", "hostId": "h", "state": "idle"})).unwrap_err();
        assert_eq!((failure.code, failure.field.as_deref()), (Code::UpdateTaskFailed, Some("state")));
    }

    #[test]
    fn only_ended_tasks_of_the_named_host_may_be_forgotten() {
        let ended = TaskRecord {
            host_id: Some("h".to_owned()),
            ..TaskRecord::done(TaskType::RemoteMigration, "", 5)
        };
        assert_eq!(may_forget(&ended, None), Ok(()));
        assert_eq!(may_forget(&ended, Some("h")), Ok(()));
        assert_eq!(may_forget(&ended, Some("i")).unwrap_err().code, Code::TaskBelongsToOtherHost);
        for state in [TaskState::Idle, TaskState::Running] {
            let going = TaskRecord { state, ..ended.clone() };
            assert_eq!(may_forget(&going, Some("h")).unwrap_err().code, Code::OngoingTask);
        }
    }

    #[test]
    fn dates() {
        assert_eq!(date(1_795_309_323_004), "2026-11-22T01:02:03.004");
    }
}
