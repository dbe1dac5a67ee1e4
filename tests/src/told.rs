//! What a person was told over a whole episode: everything that a front end heard, from its first moment to its last.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use backstay_shared::{
    client::Client,
    health::FailureId,
    overview::{Overview, Problem},
    protocol::Request,
};
use tokio::task::JoinHandle;

use crate::world::World;

/// A problem and whose it is: a phone's by UDID, or this computer's.
pub type Told = (FailureId, Option<String>);

/// A front end that listens.
pub struct Listener {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    /// What stands in front now.
    now: BTreeSet<Told>,
    /// In the order in which it came; what went and came back stands here twice.
    news: Vec<Told>,
    most_at_once: usize,
}

impl Listener {
    /// Listens from now on.
    pub async fn to(world: &World) -> Self {
        let mut client = Client::connect(&world.socket()).await.expect("the daemon answers");
        client.send(Request::Subscribe).await.unwrap();
        let heard = Arc::<Mutex<Heard>>::default();
        let hears = heard.clone();
        // Ends with the daemon.
        let task = tokio::spawn(async move {
            while let Ok(overview) = client.overview().await {
                hears.lock().unwrap().hear(&overview);
            }
        });
        Self { heard, task }
    }

    /// Everything that was told, as often as it was.
    pub fn news(&self) -> Vec<Told> {
        self.heard.lock().unwrap().news.clone()
    }

    /// The ids of what was told.
    pub fn ids(&self) -> Vec<FailureId> {
        self.news().into_iter().map(|(id, _)| id).collect()
    }

    /// How many problems stood in front at the same time at most.
    pub fn most_at_once(&self) -> usize {
        self.heard.lock().unwrap().most_at_once
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heard {
    fn hear(&mut self, overview: &Overview) {
        let of = |problems: &[Problem], subject: Option<&str>| -> Vec<Told> {
            let front = problems.iter().filter(|problem| problem.is_in_front());
            front.map(|problem| (problem.id, subject.map(str::to_owned))).collect()
        };
        let mut now: BTreeSet<Told> = of(&overview.problems, None).into_iter().collect();
        for phone in &overview.phones {
            now.extend(of(&phone.problems, Some(phone.udid.as_str())));
        }
        self.news.extend(now.difference(&self.now).cloned());
        self.most_at_once = self.most_at_once.max(now.len());
        self.now = now;
    }
}
