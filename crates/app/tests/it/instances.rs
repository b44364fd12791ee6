//! Instances of agents, of which several processes write at the same time.

use crate::desks::apps;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tutti_agents::registry::INSTANCE;
use tutti_app::Caller;
use tutti_engine::memory::records::MemoryRecords;
use tutti_engine::ports::records::{Expect, Put, Record, Records};
use tutti_engine::ports::store::Read;

/// Records whose next write of an instance is slow: it says that it has come, and waits to be let.
#[derive(Default)]
struct Slow {
    records: Arc<MemoryRecords>,
    next: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

impl Records for Slow {
    fn get(&self, kind: &str, tenant: &str, name: &str) -> Read<Option<Record>> {
        self.records.get(kind, tenant, name)
    }
    fn put(&self, record: Record, expect: Expect) -> Read<Put> {
        let slow = if record.kind == INSTANCE { self.next.lock().unwrap().take() } else { None };
        let records = Arc::clone(&self.records);
        Box::pin(async move {
            if let Some((come, go)) = slow {
                come.send(()).unwrap();
                go.await.unwrap();
            }
            records.put(record, expect).await
        })
    }
    fn delete(&self, kind: &str, tenant: &str, name: &str, expect: Expect) -> Read<bool> {
        self.records.delete(kind, tenant, name, expect)
    }
    fn list(&self, kind: &str, tenant: &str, after_name: Option<String>, limit: u32) -> Read<Vec<Record>> {
        self.records.list(kind, tenant, after_name, limit)
    }
}

#[tokio::test]
async fn an_instance_that_is_stopped_while_it_says_that_it_lives_is_stopped() {
    let records = Arc::new(Slow::default());
    let [app, _] = apps(records.clone()).await;
    let (caller, one) = (Caller::local(), json!({"agent_id": "a", "instance_id": "one"}));
    let agent = json!({"agent_id": "a", "agent_name": "a", "domain": "d", "instances": [{"instance_id": "one"}]});
    app.register_agent(&caller, &agent).await.unwrap();
    let (come, has_come) = oneshot::channel();
    let (go, may_go) = oneshot::channel();
    *records.next.lock().unwrap() = Some((come, may_go));
    let stops = async {
        has_come.await.unwrap();
        app.stop_agent(&caller, &one).await.unwrap();
        go.send(()).unwrap();
    };
    let (heard, ()) = tokio::join!(app.heartbeat(&caller, &one), stops);
    heard.unwrap();
    let view = serde_json::to_value(app.agent(&caller, "a").await.unwrap()).unwrap();
    assert_eq!(view["instances"][0]["status"], "stopped", "{view}");
    assert!(view["instances"][0]["last_heartbeat"].is_string(), "{view}");
}
