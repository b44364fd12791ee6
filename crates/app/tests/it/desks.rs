//! Several processes on one store, as far as one process can play them: two applications, each with a loop that gives tasks to
//! agents, share the engine and the records and nothing else.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tutti_agents::discovery::Books;
use tutti_agents::model::ProviderRef;
use tutti_agents::registry::{Installed, install};
use tutti_agents::team::Asking;
use tutti_app::events::Following;
use tutti_app::jobs::{JobView, Seen};
use tutti_app::registry::Orchestrator;
use tutti_app::{App, Caller, Options, metrics};
use tutti_engine::Registry;
use tutti_engine::activity::Retry;
use tutti_engine::driver::{Engine, Observer, Options as EngineOptions, Ports};
use tutti_engine::memory::outbound::NoOutbound;
use tutti_engine::memory::records::MemoryRecords;
use tutti_engine::ports::records::Records;
use tutti_workflows::{agents, task};

const LONG: Duration = Duration::from_secs(60);
const SESSIONS: u32 = 3;

/// Two applications on one engine and these records.
pub async fn apps(records: Arc<dyn Records>) -> [App; 2] {
    let asking = Asking { provider: ProviderRef::default(), retry: Retry::DEFAULT, timeout: LONG, http_timeout: LONG };
    let registry = agents::register(task::register(Registry::new(), &asking), &asking, LONG);
    let ports = Ports::in_memory(Arc::new(NoOutbound));
    let observer = Observer(Arc::new(metrics::ended));
    let engine = Engine::start(ports, registry, EngineOptions { observer, ..EngineOptions::default() }).await.unwrap();
    let orchestrator = Orchestrator { sessions_max: SESSIONS, records, ..Orchestrator::default() };
    install(Installed { records: Arc::clone(&orchestrator.records), books: Books::default(), silence: LONG });
    let options = Options { orchestrator, ..Options::default() };
    let app = || App::new(engine.clone(), options.clone());
    [app(), app()]
}

async fn execute(app: &App, body: Value) -> String {
    let prepared = app.read_agent_task(&Caller::local(), &body).await.unwrap();
    app.execute_task(prepared, None).await.unwrap().0.task_id
}

/// Every job that can be had now, by agent.
async fn claim_all(apps: &[App; 2], held: &mut BTreeMap<String, Vec<JobView>>) {
    for (n, id) in ["a", "b", "a", "b"].into_iter().enumerate() {
        let worker = apps[n % 2].read_worker(&json!({"agent_id": id, "instance_id": format!("w{n}")})).unwrap();
        while let Some(job) = apps[n % 2].claim_job(&Caller::local(), &worker).await.unwrap() {
            held.entry(id.to_owned()).or_default().push(job);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_desks_give_every_task_one_place_and_no_agent_too_many() {
    let apps = apps(Arc::new(MemoryRecords::new())).await;
    let caller = Caller::local();
    for id in ["a", "b"] {
        let agent = json!({"agent_id": id, "agent_name": id, "domain": "d", "protocol": "queue"});
        apps[0].register_agent(&caller, &agent).await.unwrap();
        apps[1].start_agent(&caller, &json!({ "agent_id": id })).await.unwrap();
    }
    for app in &apps {
        tokio::spawn(app.clone().keep_desk());
    }
    let mut tasks = Vec::new();
    for n in 0..40 {
        let target = if n % 4 == 0 { json!({"agent_id": "a"}) } else { json!({"domain": "d"}) };
        let mut body = json!({"task_type": "t", "task_data": {"n": n}, "priority": n % 10});
        body.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        tasks.push(execute(&apps[n % 2], body).await);
    }
    let all = async {
        let (mut done, mut seen) = (0, Seen::default());
        while done < tasks.len() {
            let mut held = BTreeMap::new();
            claim_all(&apps, &mut held).await;
            apps[0].jobs_opened(Duration::from_millis(50), &mut seen).await;
            claim_all(&apps, &mut held).await;
            for (agent, jobs) in held {
                assert!(jobs.len() <= SESSIONS as usize, "agent {agent} works on {} tasks at once", jobs.len());
                for job in jobs {
                    let result = json!({"claim": job.claim, "output": job.input["task_data"]["n"]});
                    apps[done % 2].job_result(&caller, &job.job_id, &result).await.unwrap();
                    done += 1;
                }
            }
        }
    };
    tokio::time::timeout(LONG, all).await.expect("the tasks are done in time");
    for (n, id) in tasks.iter().enumerate() {
        let Following::Events(mut events) = apps[n % 2].follow(&caller, id, 0).await.unwrap() else { unreachable!() };
        let ended = async { while events.next().await.unwrap().is_some() {} };
        tokio::time::timeout(LONG, ended).await.expect("a task ends");
        let task = apps[n % 2].agent_task(&caller, id).await.unwrap();
        assert_eq!((task.status, task.result, task.attempts), ("completed", Some(json!(n)), 1), "each is done once");
    }
}
