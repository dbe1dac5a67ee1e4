//! What front ends ask for, answered.

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
    overview::{Activity, Pause, PhoneOverview},
    protocol::{Refusal, Reply, Request},
};

use super::{
    names,
    server::{Server, overview_reply},
};
use crate::preflight::ROOM_COMFORT_BYTES;

impl Server {
    /// Carries a request out, whoever has it: a front end, or a notification of the daemon's own.
    ///
    /// # Errors
    /// With the reason why not.
    pub async fn answer(&self, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Overview | Request::Subscribe => return Ok(overview_reply(&self.board.shown())),
            // The connection is counted by the server, which knows when it ends.
            Request::TakeNotifications => {}
            Request::BackUp { phone, full } => {
                let udid = self.choose(phone.as_deref()).map_err(|refusal| self.with_cause(refusal))?;
                let started = self.phones.back_up(&udid, full).await;
                return Ok(Reply::Started { run: started.map_err(|refusal| self.with_cause(refusal))? });
            }
            Request::Timetable { phone } => {
                let phone = self.chosen(phone.as_deref())?;
                let ending = || Refusal::Failure(Failure::from(FailureId::UnknownError).text("the daemon is ending"));
                let timetable = self.phones.timetable(&phone.udid).await.ok_or_else(ending)?;
                return Ok(Reply::Timetable { phone: Box::new(phone), timetable });
            }
            Request::Cancel { phone } => {
                let only = if phone.is_none() { self.only_busy() } else { None };
                self.phones.cancel(&only.map_or_else(|| self.choose(phone.as_deref()), Ok)?).await?;
            }
            Request::Pause { until } => self.phones.pause(Some(Pause { until })),
            Request::Resume => self.phones.pause(None),
            Request::Snooze { phone, problem, until } => {
                let of_the_phone = match self.choose(phone.as_deref()) {
                    Ok(udid) => self.phones.snooze(&udid, problem, until).await,
                    Err(refusal) if phone.is_some() => return Err(refusal),
                    Err(_) => false,
                };
                let of_the_computer = phone.is_none() && self.board.snooze(problem, until);
                if !of_the_phone && !of_the_computer {
                    return Err(Refusal::NoSuchProblem { problem });
                }
            }
            Request::LookAgain { phone } => self.phones.look_again(&self.choose(phone.as_deref())?).await,
            Request::RestartPhone { phone } => self.phones.restart(&self.choose(phone.as_deref())?).await?,
            Request::PairAgain { phone } => self.phones.pair_again(&self.choose(phone.as_deref())?).await?,
            Request::FreeSpace { phone } => {
                let phone = self.chosen(phone.as_deref())?;
                self.phones.free_space(&phone.udid, self.bytes_wanted(&phone)).await?;
            }
            Request::CopyPhotos { phone } => {
                let phone = self.chosen(phone.as_deref())?;
                self.phones.copy_photos(&phone.udid, &phone.name).await?;
            }
            Request::SetUp => {
                let source = self.source.clone();
                let agreed = tokio::task::spawn_blocking(move || source.agree()).await;
                agreed
                    .unwrap_or_else(|error| Err(Failure::from(FailureId::HostIoError).text(error)))
                    .map_err(Refusal::Failure)?;
            }
            Request::Unknown => return Err(Refusal::UnknownRequest),
        }
        Ok(Reply::Done)
    }

    /// A phone that is not here is the consequence when usbmuxd is not.
    fn with_cause(&self, refusal: Refusal) -> Refusal {
        let not_here = matches!(&refusal, Refusal::Failure(failure) if failure.id == FailureId::DeviceNotFound);
        let overview = self.board.shown().overview;
        let cause = FailureId::DeviceNotFound
            .entry()
            .depends_on
            .iter()
            .find_map(|cause| overview.problems.iter().find(|problem| problem.id == *cause));
        match cause {
            Some(problem) if not_here => {
                Refusal::Failure(Failure { id: problem.id, evidence: Box::new(problem.evidence.clone()) })
            }
            _ => refusal,
        }
    }

    fn chosen(&self, wanted: Option<&str>) -> Result<PhoneOverview, Refusal> {
        let udid = self.choose(wanted)?;
        self.board.phone(&udid).ok_or_else(|| Refusal::Failure(FailureId::DeviceNotFound.into()))
    }

    /// Room for what failed for want of it; without such a failure enough for comfort.
    fn bytes_wanted(&self, phone: &PhoneOverview) -> u64 {
        let overview = self.board.shown().overview;
        let full = phone.problems.iter().chain(&overview.problems).find_map(|problem| match problem.id {
            FailureId::HostDiskFull | FailureId::HostDiskLow => problem.evidence.bytes_needed,
            _ => None,
        });
        full.unwrap_or(ROOM_COMFORT_BYTES)
    }

    /// The phone whose backup runs or waits for its turn, if it is the only one.
    fn only_busy(&self) -> Option<Udid> {
        let overview = self.board.shown().overview;
        let is_busy =
            |phone: &&PhoneOverview| matches!(phone.activity, Activity::Running { .. } | Activity::Queued { .. });
        let mut busy = overview.phones.iter().filter(is_busy);
        busy.next().filter(|_| busy.next().is_none()).map(|phone| phone.udid.clone())
    }

    /// Named, or else the only one, or the only one that is connected.
    fn choose(&self, wanted: Option<&str>) -> Result<Udid, Refusal> {
        let phones = &self.board.shown().overview.phones;
        let known = |phones: &[&PhoneOverview]| -> Vec<(String, String)> {
            phones.iter().map(|phone| (phone.name.clone(), phone.udid.to_string())).collect()
        };
        let all: Vec<_> = phones.iter().collect();
        if let Some(wanted) = wanted {
            return names::choose(&known(&all), wanted).map(|index| all[index].udid.clone());
        }
        let here: Vec<_> = phones.iter().filter(|phone| phone.activity != Activity::Away).collect();
        match (&all[..], &here[..]) {
            ([only], _) | (_, [only]) => Ok(only.udid.clone()),
            ([], _) | (_, []) => Err(Refusal::Failure(FailureId::DeviceNotFound.into())),
            _ => {
                let known = known(&here).into_iter().map(|(name, udid)| format!("{name} ({udid})")).collect();
                Err(Refusal::Unnamed { known })
            }
        }
    }
}
