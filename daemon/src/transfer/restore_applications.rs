//! `/iTunesRestore/RestoreApplications.plist`: from it the phone fetches its apps again, once a restore is through.
//!
//! Source: `idevicebackup2.c` and pymobiledevice3's `mobilebackup2.py`: it holds the `Applications` of the backup's
//! `Info.plist`, and is removed again when the restore failed.

use backstay_shared::health::{Failure, FailureId};
use idevice::{IdeviceError, afc::AfcClient, afc::errors::AfcError};
use plist::Dictionary;

use crate::phone::{
    afc,
    guard::Framing,
    link::{Session, guard, within},
};

const FOLDER: &str = "/iTunesRestore";
const FILE: &str = "/iTunesRestore/RestoreApplications.plist";

/// The list on the phone.
#[derive(Debug)]
pub struct RestoreApplications {
    afc: AfcClient,
}

impl RestoreApplications {
    /// Writes it.
    ///
    /// # Errors
    /// When the phone refuses or is gone.
    pub async fn write(session: &mut Session, applications: &Dictionary) -> Result<Self, Failure> {
        let mut content = Vec::new();
        plist::Value::Dictionary(applications.clone())
            .to_writer_xml(&mut content)
            .map_err(|error| Failure::from(FailureId::UnknownError).doing("listing the apps").text(error))?;
        let mut afc = AfcClient::new(guard(session.service("com.apple.afc").await?, Framing::Afc)?);
        let made = async {
            match afc.mk_dir(FOLDER).await {
                Err(IdeviceError::Afc(AfcError::ObjectExists)) => Ok(()),
                made => made,
            }
        };
        within("listing the apps", made).await?;
        within("listing the apps", afc::write_small(&mut afc, FILE, &content)).await?;
        Ok(Self { afc })
    }

    /// Takes it away: apps must not come when their data did not. A phone that is gone keeps it; the next restore
    /// writes its own.
    pub async fn remove(mut self) {
        let removed = async {
            self.afc.remove(FILE).await?;
            self.afc.remove(FOLDER).await
        };
        if let Err(failure) = within("removing the list of apps", removed).await {
            tracing::debug!(%failure, "the list of apps stays on the phone");
        }
    }
}
