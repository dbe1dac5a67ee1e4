//! What a row is, and how it is played: a fault in a small world of its own, what a person is told and when, and what
//! follows once the cause is gone.

mod stage;

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use backstay_shared::health::FailureId;
use backstay_tests::world::{World, text};
use serde_json::Value;

pub(crate) use self::stage::{Stage, seconds};

/// What became of a row.
#[derive(Debug)]
pub(crate) struct Told {
    /// From the moment at which the fault could do harm.
    pub(crate) visible: Duration,
    /// What a person reads, and what is kept for who helps them.
    pub(crate) evidence: String,
    /// What followed, for the table.
    pub(crate) retry: String,
}

/// What Backstay does once the cause is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It backs up by itself within ten seconds.
    ByItself,
    /// It backs up at the end of the pause that it is in.
    AfterAPause,
    /// It waits for a person, and "Try again" works.
    Asked,
    /// A person wanted it so: by itself it comes another day, and "Try again" works.
    Tomorrow,
    /// The problem goes; no backup was in the way.
    Goes,
    /// Nothing is to be done: it is news.
    News,
}

/// Where the row begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    /// The settings.
    pub(crate) config: &'static str,
    /// There is a good backup already, and the phone was used since.
    pub(crate) backup: bool,
    /// The fault is there before the daemon is.
    pub(crate) before_the_daemon: bool,
    /// Programs obey the modes of files.
    pub(crate) bound_by_permissions: bool,
    /// Files on the phone, and bytes of each.
    pub(crate) files: (usize, u64),
}

/// Nothing outside this computer is asked.
pub(crate) const QUIET: &str = "[watch]\napple_status = false\nios_versions = false\nicloud = false\n";

/// Small, so that it is the fault that takes the time.
pub(crate) const PLAIN: Given =
    Given { config: QUIET, backup: false, before_the_daemon: false, bound_by_permissions: false, files: (30, 2000) };

/// The same, with a good backup beforehand.
pub(crate) const BACKED_UP: Given = Given { backup: true, ..PLAIN };

type Play = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<Told, String>>>> + Send>;

/// One fault.
pub(crate) struct Row {
    /// What is wrong, in plain words.
    pub(crate) fault: String,
    /// What it has to be called.
    pub(crate) raises: FailureId,
    /// A part of what is told that only this fault explains.
    pub(crate) quotes: String,
    /// Why it can't be played here.
    pub(crate) lacks: Option<String>,
    pub(crate) play: Play,
}

impl Row {
    /// A row with a way of its own.
    pub(crate) fn own<F>(
        fault: impl Into<String>,
        raises: FailureId,
        quotes: impl Into<String>,
        play: impl FnOnce(FailureId, String) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Told, String>> + 'static,
    {
        let quotes = quotes.into();
        let wanted = quotes.clone();
        let play: Play = Box::new(move || Box::pin(play(raises, wanted)));
        Self { fault: fault.into(), raises, quotes, lacks: None, play }
    }

    /// The daemon runs, the fault is made, the phone is plugged in; once it is told, the cause goes.
    pub(crate) fn daemon<I, C>(
        fault: impl Into<String>,
        (raises, quotes): (FailureId, &str),
        then: Then,
        given: Given,
        inject: I,
        cure: C,
    ) -> Self
    where
        I: AsyncFnOnce(&World) + Send + 'static,
        C: AsyncFnOnce(&World) + Send + 'static,
    {
        Self::own(fault, raises, quotes, move |id, quotes| async move {
            let mut stage = Stage::set(given).await;
            if !given.before_the_daemon {
                stage.start().await;
            }
            inject(&stage.world).await;
            let began = Instant::now();
            stage.start().await;
            stage.bring_the_phone().await?;
            let told = stage.told(id, &quotes, began).await?;
            stage.after(id, then, told, cure).await
        })
    }

    /// A command that fails, and does not once the cause is gone.
    pub(crate) fn command<I, A, C>(
        fault: impl Into<String>,
        (raises, quotes): (FailureId, &str),
        given: Given,
        inject: I,
        act: A,
        cure: C,
    ) -> Self
    where
        I: AsyncFnOnce(&World) + Send + 'static,
        A: AsyncFn(&World) -> Value + Send + 'static,
        C: AsyncFnOnce(&World) + Send + 'static,
    {
        Self::own(fault, raises, quotes, move |id, quotes| async move {
            let stage = Stage::set(given).await;
            stage.world.phone.plug_in();
            inject(&stage.world).await;
            let began = Instant::now();
            let object = act(&stage.world).await;
            let visible = began.elapsed();
            let evidence = names(&object, id, &quotes)?;
            cure(&stage.world).await;
            let again = act(&stage.world).await;
            if let Some(failure) = failure_of(&again) {
                return Err(format!("failed again after the cure, with {failure}: {again}"));
            }
            Ok(Told { visible, evidence, retry: "run again: succeeds".into() })
        })
    }

    /// Not where this is missing.
    pub(crate) fn needs(mut self, missing: Option<String>) -> Self {
        self.lacks = missing;
        self
    }
}

/// The failure that an object of the command line tells, or its warning.
fn failure_of(object: &Value) -> Option<&str> {
    [&object["failure"]["id"], &object["warning"]["id"], &object["receipt"]["warning"]["id"]]
        .into_iter()
        .find_map(Value::as_str)
}

/// The evidence, if the object names this failure and quotes it.
pub(crate) fn names(object: &Value, id: FailureId, quotes: &str) -> Result<String, String> {
    if failure_of(object) != Some(id.slug()) {
        return Err(format!("{object} instead"));
    }
    let told = object.to_string();
    let why = [&object["failure"]["why"], &object["warning"]["why"]].into_iter().find_map(Value::as_str);
    let evidence = [&object["evidence"], &object["warning"]["evidence"], &object["receipt"]["warning"]["evidence"]];
    let evidence = evidence.into_iter().find(|evidence| !evidence.is_null()).cloned().unwrap_or_default();
    if told.contains(quotes) {
        Ok(format!("{} {evidence}", why.unwrap_or_default()))
    } else {
        Err(format!("{quotes:?} is not in {told}"))
    }
}

/// `backstay --root ROOT ... --json`: the last object.
pub(crate) async fn object_of(world: &World, arguments: &[&str]) -> Value {
    let root = world.root();
    let output = world.backstay(&[&["--root", root.to_str().unwrap()], arguments, &["--json"]].concat()).await;
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
    serde_json::from_str(&last).unwrap_or_else(|_| panic!("no object: {}", text(&output)))
}
